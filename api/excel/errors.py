"""拒绝工作簿: why a workbook is refused as a whole, one class per reason."""

from __future__ import annotations

from domain.errors import Invalid

SAVE_AGAIN = "请用 Excel 或 WPS 打开后另存为 .xlsx。Open it in Excel or WPS and save it as .xlsx."


class WorkbookRefused(Invalid):
    """工作簿不能读取。The workbook cannot be read."""


class NotAWorkbook(WorkbookRefused):
    """这不是 .xlsx 工作簿。This is not an .xlsx workbook."""

    mend = SAVE_AGAIN


class OldWorkbook(WorkbookRefused):
    """这是旧的 .xls 或二进制工作簿。This is an old .xls or a binary workbook."""

    mend = SAVE_AGAIN


class EncryptedWorkbook(WorkbookRefused):
    """工作簿设有打开密码。The workbook is encrypted with a password."""

    mend = (
        "请去掉打开密码后另存（文件→信息→保护工作簿）。"
        "Remove the password and save again (File, Info, Protect Workbook)."
    )


class FileTooLarge(WorkbookRefused):
    """文件太大。The file is too large."""

    mend = "请按县或按月分成几个文件。Split it into several files, by county or by month."


class InflatesTooFar(WorkbookRefused):
    """解压后的内容远大于文件本身。The content unpacks to far more than the file holds."""

    mend = (
        "请把数据复制到新的工作簿再导入；如来源不明，请勿打开。"
        "Copy the data into a new workbook; if you do not know the sender, do not open the file."
    )


class TooManyMembers(WorkbookRefused):
    """工作簿内部的文件太多。The workbook holds too many parts."""

    mend = "请把数据复制到新的工作簿再导入。Copy the data into a new workbook."


class NestedArchive(WorkbookRefused):
    """工作簿里嵌有其他文件。Another file is embedded in the workbook."""

    mend = "请删除嵌入的对象后另存。Delete the embedded objects and save again."


class MacrosInside(WorkbookRefused):
    """工作簿带有宏。The workbook carries macros."""

    mend = "请另存为不带宏的 .xlsx。Save it as .xlsx, the format without macros."


class ExternalLinksInside(WorkbookRefused):
    """工作簿链接到其他文件或数据源。The workbook links to other files or data sources."""

    mend = "请断开链接（数据→编辑链接）后另存。Break the links (Data, Edit Links) and save again."


class EntitiesInside(WorkbookRefused):
    """工作簿内部含有实体声明。The workbook declares a document type or entities."""

    mend = (
        "Excel 不会写出这样的文件，请勿打开，并联系发送人。"
        "Excel never writes such a file: do not open it, ask the sender."
    )


class DamagedWorkbook(WorkbookRefused):
    """工作簿已损坏。The workbook is damaged."""

    mend = SAVE_AGAIN


class TooManySheets(WorkbookRefused):
    """工作表太多。The workbook has too many sheets."""

    mend = "请分成几个文件。Split it into several files."


class TooManyRows(WorkbookRefused):
    """行数太多。The workbook has too many rows."""

    mend = "请按县或按月分成几个文件。Split it into several files, by county or by month."


class TooManyColumns(WorkbookRefused):
    """列数太多。A sheet has too many columns."""

    mend = "请删除多余的列。Delete the columns that do not belong to the form."


class CellTooLong(WorkbookRefused):
    """单元格内容太长。The text of a cell is too long."""

    mend = "请缩短该单元格的文字。Shorten the text of this cell."


class ReadingTooSlow(WorkbookRefused):
    """读取时间太长，已停止。Reading took too long and was stopped."""

    mend = "请分成几个文件，稍后再试。Split it into several files and try again later."


class ReadingTooLarge(WorkbookRefused):
    """读取需要的内存太多，已停止。Reading needed too much memory and was stopped."""

    mend = (
        "请把数据复制到新的工作簿，或分成几个文件。Copy the data into a new workbook, or split it."
    )


class EmptyWorkbook(WorkbookRefused):
    """工作簿中没有数据。The workbook holds no data."""

    mend = (
        "请检查是否选错文件；“严格 Open XML”格式请另存为普通 .xlsx。"
        "Check the file; save “Strict Open XML” as an ordinary .xlsx."
    )


class HeadingsNotFound(WorkbookRefused):
    """工作表缺少必需的列标题。A sheet lacks headings that are needed."""

    mend = (
        "请按正式表样补上缺少的列标题；不需要的工作表请删除。"
        "Add the missing headings as in the official form; delete sheets that are not needed."
    )


class HeadingsRepeated(WorkbookRefused):
    """同一列标题出现了两次。A heading appears twice in a sheet."""

    mend = "请只保留一列，或改名。Keep one of the columns, or rename the other."
