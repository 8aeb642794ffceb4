"""内存封闭簿: api/erasure's tables over containers; each method keeps that one's promises."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from api.erasure.about import About, about
from api.erasure.closing import Closed, ClosingBook
from api.erasure.eraser import Eraser
from domain.sealing import Closure
from domain.values import DataClass, OrgCode
from projections.erasing import HOLDING
from projections.phones import INDEX
from projections.tables import NEXT
from sync.book_erased import ERASED, _emptied


class MemoryClosing(ClosingBook):
    """What is closed on one node."""

    _database: Any

    def erasures(self) -> list[UUID]:
        asked = (e.record for e in self._database.entries if e.record.topic == "erasure.requested")
        return list(dict.fromkeys(record.originator_id for record in asked))

    def carried(self) -> tuple[Closed, dict[UUID, set[UUID]]]:
        closed: Closed = {}
        ids: dict[UUID, set[UUID]] = {}
        for (subject, data_class), (person, why) in self._database.closing.items():
            closed[subject, data_class] = why
            ids.setdefault(person, set()).add(subject)
        return closed, ids

    def keys(self, subjects: Iterable[UUID], classes: Iterable[DataClass]) -> dict[UUID, int]:
        of, kinds = set(subjects), set(classes)
        rows = self._database.subject_keys.values()
        return {row[0]: row[4] for row in rows if row[1] in of and row[2] in kinds}

    def hide(self, found: About, classes: Collection[DataClass], why: Closure) -> None:
        self._empty_models(found, set(classes))
        self._close(found, classes, why)

    def destroy(self, found: About, classes: Collection[DataClass]) -> None:
        database = self._database
        self._empty_models(found, set(classes))
        keys = self.keys(found.subjects, classes)
        for key in keys:
            row = database.subject_keys.pop(key)
            database.own_keys.pop(row[1:4], None)
            database.destroyed.setdefault(key, (found.person, row[2]))
        database.lane_given.clear()
        self._empty_evidence({*found.subjects, *found.streams, *keys})
        for name, row in list(database.idempotency.items()):
            if row[2] in found.streams:
                del database.idempotency[name]
        self._close(found, classes, Closure.ERASED)

    def stray(self) -> dict[UUID, set[DataClass]]:
        found: dict[UUID, set[DataClass]] = {}
        for row in self._database.subject_keys.values():
            person, why = self._database.closing.get((row[1], DataClass(row[2])), (None, None))
            if person is not None and why is Closure.ERASED:
                found.setdefault(person, set()).add(DataClass(row[2]))
        return found

    def unscrubbed(self) -> bool:
        """Nothing stands in files."""
        return False

    def note_scrubbed(self) -> None:
        """Nor is anything to be put down of it."""

    def open(self, closed: Iterable[tuple[UUID, DataClass]]) -> None:
        for each in closed:
            if self._database.closing.get(each, (None, None))[1] is not Closure.ERASED:
                self._database.closing.pop(each, None)

    def destroyed(self, person: UUID, classes: Iterable[DataClass]) -> list[UUID]:
        wanted = [(person, each) for each in classes]
        return sorted(key for key, of in self._database.destroyed.items() if of in wanted)

    def granted_to(
        self, person: UUID, classes: Iterable[DataClass], peers: Sequence[OrgCode]
    ) -> list[OrgCode]:
        database, kinds = self._database, set(classes)
        closed = {subject for (subject, _), of in database.closing.items() if of[0] == person}
        keys = {*self.keys(closed, kinds), *self.destroyed(person, kinds)}
        return sorted({p for p, key in database.lane_grants if key in keys and p in peers})

    def _close(self, found: About, classes: Collection[DataClass], why: Closure) -> None:
        said = {(s, DataClass(c)): (found.person, why) for s in found.subjects for c in classes}
        self._database.closing |= said

    def _empty_models(self, found: About, classes: set[DataClass]) -> None:
        for shared in HOLDING:
            columns = [name for name, kind in shared.personal.items() if kind in classes]
            for table in (shared.name, shared.name + NEXT):
                rows = self._database.rows.get(table, {})
                for stream in found.streams & rows.keys():
                    rows[stream] |= dict.fromkeys(columns)
        if DataClass.CONTACT in classes:
            for name in (INDEX.name, INDEX.name + NEXT):
                marks = self._database.rows.get(name, {})
                for key in [k for k, row in marks.items() if row["stream"] in found.streams]:
                    del marks[key]

    def _empty_evidence(self, ids: set[UUID]) -> None:
        marks = [str(id_).encode() for id_ in ids]
        for q in self._database.quarantine:
            named = {q["subject"], q["stream"]} & ids
            named = named or any(mark in (q[at] or b"") for mark in marks for at in _BODIES)
            if named and not q["wire"].startswith(ERASED):
                entry = [q[name] for name in ("stream", "version", "topic", "state")]
                wire, evidence, state = _emptied(q["wire"], q["evidence"], entry)
                q |= {"wire": wire, "evidence": json.loads(evidence), "state": state}


_BODIES = ("wire", "state")


class _Looked:
    """Answers the one question that looks through every record."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._found: list[tuple[Any, ...]] = []

    def execute(self, _: str, values: tuple[list[bytes]]) -> _Looked:
        records = (entry.record for entry in self._database.entries)
        self._found = [
            (r.originator_id, r.originator_version, r.topic, r.state)
            for r in records
            if any(mark in r.state for mark in values[0])
        ]
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._found


class MemoryEraser(Eraser):
    """The product's, its questions to the database answered from memory."""

    def about(self, person: UUID) -> About:
        return about(_Looked(self._database), person)

    def hold(self, person: UUID) -> bool:
        database: Any = self._database
        files = {
            row["stream"]
            for row in database.rows["history"].values()
            if row["subject"] == person
            and row["org"] == self._ledger.org
            and row["topic"].startswith("member.")
        }
        if self._any_held(files):
            return True
        if any(self._keyring.closed(person, each) for each in DataClass):
            return False
        return self._any_held(self.about(person).streams)
