"""查验: whether the rows of who read what are all there, as the ledger has sealed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent

from api.storage.database import Database
from api.storage.read import COLUMNS, NO_ROOT, chained, whose
from domain.access import Access
from domain.aggregate import Fact
from domain.records import decode

PAGE_MAX = 2_000
"""Rows read at once."""

_FACTS = f"""
    SELECT originator_id, originator_version, topic, state FROM stored_events
    WHERE topic IN ('{Access.Recorded.TOPIC}', '{Access.Forgotten.TOPIC}')
    ORDER BY notification_id
"""  # noqa: S608 - constants.
_ROWS = f"""
    SELECT {", ".join(COLUMNS)}, (
        SELECT string_agg(uuid_send(subject), ''::bytea ORDER BY subject)
        FROM access_subject s WHERE s.number = access.number
    ) AS found FROM access
    WHERE number > %(after)s ORDER BY number LIMIT {PAGE_MAX}
"""  # noqa: S608 - names are literals.


class Broken(NamedTuple):
    """The first bad place: the number of a row, and what is wrong there."""

    number: int
    because: str


class Verified(NamedTuple):
    """How many rows there are, how far they are sealed, and the first bad place, if any."""

    rows: int
    sealed_to: int
    broken: Broken | None


class _Bad(Exception):  # noqa: N818 - carries what was found.
    def __init__(self, number: int, because: str) -> None:
        super().__init__(because)
        self.broken = Broken(number, because)


def verify(database: Database) -> Verified:
    """Follow the chain from the oldest row that is kept to the newest, past every seal.

    Rows may be missing at the beginning alone, as far as the ledger says that they were let go.
    What is not sealed yet, a minute's rows at most, can still be rewritten as a whole by whoever
    owns the database; everything before is bound by the ledger.
    """
    walk = _Walk(_facts(database))
    broken = None
    try:
        walk.must_follow()
        for row in _rows(database):
            walk.take(row)
        walk.end()
    except _Bad as bad:
        broken = bad.broken
    return Verified(walk.count, walk.sealed_to, broken)


def _rows(database: Database) -> Iterator[dict[str, Any]]:
    after = -(2**63)
    while page := database.rows(_ROWS, {"after": after}):
        yield from page
        after = page[-1]["number"]


def _facts(database: Database) -> list[Fact]:
    with database.connection() as conn:
        rows = conn.execute(_FACTS).fetchall()
    records = (StoredEvent(id_, version, topic, state) for id_, version, topic, state in rows)
    return [fact for record in records if (fact := decode(record)) is not None]


class _Walk:
    """Goes along the rows with the seals beside them."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._seals = [fact for fact in facts if isinstance(fact, Access.Recorded)]
        self._by_last = {seal.last: seal for seal in self._seals}
        gone = (fact.last for fact in facts if isinstance(fact, Access.Forgotten))
        self._forgotten = max(gone, default=0)
        self._number, self._root = 0, NO_ROOT
        self.count = 0
        self.sealed_to = max(self._by_last, default=0)

    def must_follow(self) -> None:
        """The seals themselves leave nothing out."""
        last = 0
        for seal in self._seals:
            if seal.first != last + 1:
                raise _Bad(seal.first, "seal out of turn 存证不连续")
            last = seal.last

    def take(self, row: dict[str, Any]) -> None:
        """The next row."""
        if self.count == 0:
            self._begin(row["number"])
        expected = self._number + 1
        if row["number"] != expected:
            why = "removed 缺少" if row["number"] > expected else "inserted 多出"
            raise _Bad(min(expected, row["number"]), why)
        people = row["subjects"]
        found = row["found"] or b""
        # Before it is sealed a row need not be found by its persons.
        same = found == people or (expected > self.sealed_to and not found)
        if len(people) != 16 * row["count"] or whose(people) != row["whose"] or not same:
            raise _Bad(expected, "other persons 所涉人员被改动")
        said = [row[name] for name in COLUMNS if name not in {"subjects", "root"}]
        self._root = chained(self._root, said)
        if self._root != row["root"]:
            raise _Bad(expected, "altered 被改动")
        self._number, self.count = expected, self.count + 1
        seal = self._by_last.get(expected)
        if seal is not None and seal.root != self._root.hex():
            raise _Bad(seal.first, "not as it was sealed 与台账存证不符")

    def _begin(self, number: int) -> None:
        """What comes before the first row was let go as it should be."""
        for seal in self._seals:
            if seal.last < number:
                self._pass(seal)

    def _pass(self, seal: Access.Recorded) -> None:
        if seal.last > self._forgotten:
            raise _Bad(seal.first, "removed 缺少")
        self._number, self._root = seal.last, bytes.fromhex(seal.root)

    def end(self) -> None:
        """What is sealed is there to the end."""
        if self.count == 0:
            self._begin(self.sealed_to + 1)
        elif self._number < self.sealed_to:
            raise _Bad(self._number + 1, "removed 缺少")
