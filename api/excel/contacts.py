"""联系记录: the contact record, its columns and the rules its rows must keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.excel.examining import Examination
from api.excel.faults import Fault
from api.excel.headings import Column, Head
from api.excel.outflows import NAME, NUMBER
from api.excel.rows import ContactRow

COLUMNS = (
    Column("on", "日期", required=True, aliases=("联系日期", "联系时间")),
    Column("station", "站点", required=True, aliases=("联络服务站", "联络站")),
    NAME,
    NUMBER,
    Column("method", "联系方式", required=True),
    Column("by", "联系人", required=True, aliases=("联络员",)),
    Column("reached", "是否联系上", required=True),
    Column("condition", "生活工作情况", aliases=("工作生活情况",)),
    Column("matters", "反映问题", aliases=("反映的问题",)),
    Column("next_on", "下次联系", aliases=("下次联系日期", "下次联系时间")),
)


class ContactJudge:
    """Judges the rows of one contact record; the same row entered twice counts once."""

    columns: Sequence[Column] = COLUMNS

    def __init__(self) -> None:
        self.met: dict[ContactRow, tuple[str, int]] = {}

    def begin(self, head: Head) -> Iterable[Fault]:  # noqa: ARG002 - part of Judge.
        return ()

    def judge(self, row: Examination) -> Sequence[ContactRow]:
        on, next_on = row.past_day("on", required=True), row.day("next_on")
        if on and next_on and next_on <= on:
            row.fault("next_on", "next_before_contact")
        fields = {
            "on": on,
            "station": row.text("station", required=True),
            "name": row.person("name", required=True),
            "number": row.number(),
            "method": row.text("method", required=True),
            "by": row.person("by", required=True),
            "reached": row.answer("reached", required=True),
            "condition": row.text("condition"),
            "matters": row.text("matters"),
            "next_on": next_on,
        }
        value = row.build(ContactRow, fields)
        if value:
            self._refuse_second(row, value)
        return (value,) if value else ()

    def _refuse_second(self, row: Examination, value: ContactRow) -> None:
        place = (row.line.sheet.title, row.line.number)
        first = self.met.setdefault(value, place)
        if first != place:
            row.fault("number", "duplicate", sheet=first[0], row=first[1])
