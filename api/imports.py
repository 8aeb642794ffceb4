"""导入: from an official workbook to recorded facts, each with its file, sheet and row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError

from api.excel.reading import AttendanceRow, ContactRow, Fault, OutflowRow, Reading, Row
from api.node import Node
from api.service import AlreadyRecorded, Who
from domain.commands import (
    Command,
    HoldActivity,
    MarkAttendance,
    RecordContact,
    RegisterDeparture,
    RegisterMember,
)
from domain.errors import Refusal
from domain.ledger import Receipt
from domain.values import OrgCode, Source

CHUNK = 500
"""Rows submitted at once; they share commits."""

Progress = Callable[[int, int], None]
"""Called with how many rows are done, of how many."""


@dataclass
class Report:
    """导入结果: what was recorded, what was there already, what was refused and why."""

    file: str
    digest: str
    dry_run: bool = False
    recorded: int = 0
    repeated: int = 0
    not_ours: int = 0
    position: int = 0
    """Give it to a read model as ?after= to read what was imported."""
    refused: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    ids: dict[str, UUID] = field(default_factory=dict)
    """By sheet and row, the stream that was opened."""


@dataclass(frozen=True)
class _Task:
    source: Source
    key: str
    command: Command | Refusal


_Outcome = UUID | Receipt | Refusal
"""Of one row: the stream it opened, the receipt of the first time, or why not."""


class Importer:
    """Imports into one node; a file imported twice changes nothing the second time."""

    def __init__(self, node: Node, person: str, *, dry_run: bool, progress: Progress) -> None:
        self._node, self._person = node, person
        self._dry_run, self._progress = dry_run, progress

    async def outflows(self, reading: Reading[OutflowRow]) -> Report:
        """流出党员台账, at the origin."""
        stations = {peer.name: code for code, peer in self._node.relay.peers().items()}
        tasks = [
            _Task(row.source, _key(row), _departure(row.value, stations))
            for row in reading.accepted
        ]
        return await self._run(reading, tasks, 0)

    async def contacts(self, reading: Reading[ContactRow]) -> Report:
        """联系记录: the rows of this node's own station."""
        ours = [row for row in reading.accepted if self._is_ours(row.value.station)]
        found = await self._absences((row.value.number, row.value.on) for row in ours)
        tasks = [
            _Task(
                row.source,
                _key(row),
                _contact(row.value, found.get((row.value.number, row.value.on))),
            )
            for row in ours
        ]
        return await self._run(reading, tasks, len(reading.accepted) - len(ours))

    async def party_days(self, reading: Reading[AttendanceRow]) -> Report:
        """主题党日签到表: the sheet of this node's own station; a day becomes one activity."""
        ours = [row for row in reading.accepted if self._is_ours(row.value.station)]
        found = await self._absences((row.value.number, row.value.on) for row in ours)
        days = await self._hold(reading, ours)
        tasks = []
        for row in ours:
            mark, on = row.value, row.value.on
            absence, activity = found.get((mark.number, on)), days.get(on)
            command: Command | Refusal = NobodyOfThatNumber(on=on)
            if absence and activity:
                command = MarkAttendance(activity=activity, outflow=absence, mark=mark.mark)
            tasks.append(_Task(row.source, f"{_key(row)}/{on}", command))
        return await self._run(reading, tasks, len(reading.accepted) - len(ours))

    def _is_ours(self, station: str) -> bool:
        city = self._node.settings.city
        return city is None or station in {city, self._node.settings.name}

    async def _absences(self, asked: Iterable[tuple[str, date]]) -> dict[tuple[str, date], UUID]:
        wanted = sorted(set(asked))
        return await asyncio.to_thread(_find_absences, self._node, wanted)

    async def _hold(
        self, reading: Reading[AttendanceRow], rows: list[Row[AttendanceRow]]
    ) -> dict[date, UUID]:
        """The activity of each day; in a dry run none is recorded, and none is needed."""
        days = sorted({row.value.on for row in rows})
        if self._dry_run:
            return {on: uuid5(NAMESPACE_URL, f"{reading.digest}/{on}") for on in days}
        name = self._node.settings.name
        held = {}
        for on in days:
            title = f"{name} {on:%Y年%m月} 主题党日"
            source = Source(kind="import", file=reading.file, digest=reading.digest)
            who = self._who(source, f"{reading.digest}/{name}/{on}")
            command = HoldActivity(on=on, kind="theme_day", title=title)
            held[on] = (await self._node.service.submit(command, who)).id
        return held

    def _who(self, source: Source, key: str) -> Who:
        return Who(
            person=self._person,
            channel="import",
            source=source,
            key=key,
            correlation=uuid5(NAMESPACE_URL, f"import:{source.digest}"),
        )

    async def _run(self, reading: Reading[Any], tasks: list[_Task], not_ours: int) -> Report:
        report = Report(reading.file, reading.digest, self._dry_run, not_ours=not_ours)
        report.refused += reading.refused
        report.warnings += [w for row in reading.accepted for w in row.warnings]
        before = self._node.ledger.head
        for start in range(0, len(tasks), CHUNK):
            chunk = tasks[start : start + CHUNK]
            outcomes = await asyncio.gather(*(self._one(task, before) for task in chunk))
            for task, outcome in zip(chunk, outcomes, strict=True):
                _note(report, task.source, outcome)
            self._progress(start + len(chunk), len(tasks))
        report.position = self._node.ledger.head
        return report

    async def _one(self, task: _Task, before: int) -> _Outcome:
        if isinstance(task.command, Refusal):
            return task.command
        who = self._who(task.source, task.key)
        try:
            if self._dry_run:
                known = self._node.service.rehearse(task.command, who)
                return known or uuid5(NAMESPACE_URL, task.key)
            receipt = await self._node.service.submit(task.command, who)
        except Refusal as refusal:
            return refusal
        # A receipt from before this import is the answer to the same row of an earlier one.
        return receipt if receipt.position <= before else receipt.id


class NobodyOfThatNumber(Refusal):
    """没有找到该公民身份号码对应的流动。No absence of that id number is known here on that day."""

    kind = "missing"
    mend = (
        "请核对号码，或先由流出地登记并完成交接。"
        "Check the number, or let the origin register and hand over first."
    )


class Unacceptable(Refusal):
    """这一行不符合要求。The row does not meet the rules."""

    kind = "invalid"


_FIND = """
    SELECT a.number, a.on_day, f.outflow FROM unnest(%s::text[], %s::date[]) AS a (number, on_day)
    JOIN roster_person p ON p.number = a.number
    JOIN roster_flow f ON f.member = p.member
    WHERE f.left_on <= a.on_day AND (f.ended_on IS NULL OR a.on_day <= f.ended_on)
      AND f.state <> '作废'
"""


def _find_absences(node: Node, asked: list[tuple[str, date]]) -> dict[tuple[str, date], UUID]:
    with node.database.connection() as conn:
        rows = conn.execute(_FIND, ([n for n, _ in asked], [d for _, d in asked])).fetchall()
    return {(number, on): outflow for number, on, outflow in rows}


def _key(row: Row[Any]) -> str:
    return f"{row.source.digest}/{row.source.sheet}/{row.source.row}"


def _departure(row: OutflowRow, stations: dict[str, OrgCode]) -> Command | Refusal:
    same = ("name", "number", "ethnic", "education", "category", "joined_on", "full_on")
    more = ("branch", "former_occupation", "phone", "address")
    kept = ("left_on", "reason", "scope", "destination", "permit_held", "branch_contact")
    rest = ("branch_phone", "contact_state", "remark")
    said = row.model_dump()
    try:
        return RegisterDeparture(
            person=RegisterMember.model_validate({n: said[n] for n in (*same, *more)}),
            absence={
                **{n: said[n] for n in (*kept, *rest)},
                "host": stations.get(row.station or ""),
                "permit": row.permit_number,
            },
        )
    except ValidationError as fault:
        return _unacceptable(fault)


def _contact(row: ContactRow, outflow: UUID | None) -> Command | Refusal:
    if outflow is None:
        return NobodyOfThatNumber(on=row.on)
    try:
        return RecordContact(
            outflow=outflow, **row.model_dump(exclude={"station", "name", "number"})
        )
    except ValidationError as fault:
        return _unacceptable(fault)


def _unacceptable(fault: ValidationError) -> Refusal:
    first = fault.errors(include_input=False, include_url=False)[0]
    return Unacceptable(column=".".join(map(str, first["loc"])), because=first["msg"])


def _note(report: Report, source: Source, outcome: _Outcome) -> None:
    if isinstance(outcome, AlreadyRecorded | Receipt):
        report.repeated += 1
    elif isinstance(outcome, Refusal):
        column = str(outcome.facts.get("column", ""))
        report.refused.append(
            Fault(source.sheet or "", source.row or 0, column, outcome.code(), str(outcome))
        )
    else:
        report.recorded += 1
        report.ids[f"{source.sheet}/{source.row}"] = outcome


def quiet(done: int, total: int) -> None:
    """A progress that nobody watches."""
    del done, total
