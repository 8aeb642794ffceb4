"""共享读模型: the rows that two organizations must hold alike, in one canonical form."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from domain import suite
from domain.errors import Refusal
from domain.ledger import Entry
from domain.policy import Policy
from domain.records import PERSONAL
from domain.values import DataClass, OrgCode
from projections import activities, affiliations, contacts, custody, roster, transfers
from projections.projection import Projection, Row, Rows, Table

ROWS_MAX = 1_000_000
"""Rows of one table shared with one peer; they are hashed in memory, a hundred bytes each."""

_FETCH = 5_000


class Shared(NamedTuple):
    """A table, and which of its rows a pair shares."""

    table: Table
    projection: type[Projection]
    keeper: str
    """Who keeps the stream of a row, as SQL."""
    personal: Mapping[str, DataClass] = MappingProxyType({})
    """Columns that only those hold alike to whom the class was granted."""
    whole: bool = False
    """Shared with every peer, and its key is not a stream: the editions of a policy."""

    @property
    def name(self) -> str:
        """The table's."""
        return self.table.name

    def streams(self, key: UUID, pair: Sequence[OrgCode]) -> list[UUID]:
        """The streams whose facts say what stands in a row: one, as a rule its key."""
        if self.whole:
            return [Policy.id_of(org) for org in pair]
        return [key]


_REGISTERED = dict(PERSONAL["member.registered"])
_PERSON = {name: kind for name, kind in _REGISTERED.items() if name in roster.PERSON.columns}
_DETAILS = dict(PERSONAL["inflow.details_recorded"])
_LEFT = dict(PERSONAL["outflow.registered"])
_FOUND = dict(PERSONAL["inflow.found"])

SHARED: tuple[Shared, ...] = (
    # The sex follows from the number, for whoever can open that.
    Shared(roster.PERSON, roster.Roster, "keeper", {**_PERSON, "sex": DataClass.IDENTITY}),
    Shared(roster.FLOW, roster.Roster, "origin", {"permit": _LEFT["permit"]}),
    Shared(roster.ARRIVAL, roster.Roster, "host", {**_DETAILS, "found_name": _FOUND["name"]}),
    Shared(custody.FLOW, custody.Custody, "origin"),
    Shared(custody.ARRIVAL, custody.Custody, "host"),
    Shared(
        custody.CLAIM,
        custody.Custody,
        "(SELECT a.origin FROM custody_arrival a WHERE a.inflow = custody_claim.inflow)",
    ),
    Shared(transfers.TRANSFER, transfers.Transfers, "origin"),
    Shared(transfers.ANSWER, transfers.Transfers, "org"),
    Shared(affiliations.FILE, affiliations.Affiliations, "keeper", {"name": DataClass.IDENTITY}),
    Shared(contacts.CONTACT, contacts.Contacts, "org"),
    Shared(contacts.ABSENCE, contacts.Contacts, "origin"),
    Shared(contacts.EDITION, contacts.Contacts, "org", whole=True),
    Shared(activities.ACTIVITY, activities.Activities, "org"),
    Shared(
        activities.ATTENDANCE,
        activities.Activities,
        "(SELECT a.org FROM activity a WHERE a.activity = attendance.activity)",
    ),
)
BY_NAME = {shared.name: shared for shared in SHARED}
MODELS = tuple(dict.fromkeys(shared.projection.name for shared in SHARED))


def _rules() -> str:
    said = "\n".join(f"{s.name} {s.table.columns} {dict(s.personal)}" for s in SHARED)
    return "1:" + hashlib.sha256(said.encode()).hexdigest()[:16]


RULES = _rules()
"""What is compared, and how: nodes of different versions see that they compare different things."""


class TooMuchShared(Refusal):
    """共享的行过多，不能对账。A table shares more rows than are compared."""

    mend = "请告知开发者。Tell the developers: the limit is one of memory."


class Sight(NamedTuple):
    """One pair, seen from one side: our streams it was told, the classes each may open."""

    org: OrgCode
    peer: OrgCode
    told: frozenset[UUID]
    open_to: Mapping[OrgCode, Collection[DataClass]]
    """By keeper, the classes that the other may open."""
    salt: bytes


def canonical(row: Row) -> dict[str, bytes]:
    """Every column as bytes in one possible spelling."""
    return {name: _spelled(value) for name, value in row.items()}


def seen(shared: Shared, row: Row, keeper: OrgCode, sight: Sight) -> dict[str, bytes]:
    """As canonical; what its keeper does not let the other open is left out on both sides."""
    may_open = sight.open_to[keeper]
    spelled = canonical(row)
    hidden = {name for name, kind in shared.personal.items() if kind not in may_open}
    return {name: value for name, value in spelled.items() if name not in hidden}


def row_hash(shared: Shared, fields: dict[str, bytes], salt: bytes) -> bytes:
    """A row as it is compared."""
    said = b"".join(len(v).to_bytes(4) + name.encode() + b"=" + v for name, v in fields.items())
    return suite.mac(salt, shared.name.encode() + b"\n" + said)


def field_hash(shared: Shared, key: UUID, name: str, value: bytes, salt: bytes) -> str:
    """A value as it is compared: equal values of two people, or in two columns, look different."""
    return suite.mac(salt, f"{shared.name}\n{key}\n{name}\n".encode() + value).hex()


def entries(conn: Any, shared: Shared, sight: Sight) -> Iterator[bytes]:
    """Key and hash of every row the pair shares, as of the transaction's snapshot.

    Raises:
        TooMuchShared.
    """
    for number, (row, keeper) in enumerate(_rows(conn, shared, sight), 1):
        if number > ROWS_MAX:
            raise TooMuchShared(table=shared.name, maximum=ROWS_MAX)
        key: UUID = row[shared.table.key]
        fields = seen(shared, row, keeper, sight)
        yield key.bytes + row_hash(shared, fields, sight.salt)


def _rows(conn: Any, shared: Shared, sight: Sight) -> Iterator[tuple[Row, OrgCode]]:
    names = list(shared.table.columns)
    query = (
        f"SELECT {', '.join(names)}, {shared.keeper} FROM {shared.name}"  # noqa: S608
        f" WHERE {shared.keeper} = %s OR ({shared.keeper} = %s AND ({_TOLD[shared.name]}))"
    )
    # A cursor on the server, so that a large table is never here as a whole.
    with conn.cursor(name=f"shared_{shared.name}") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query, (sight.peer, sight.org, list(sight.told)))
        for *values, keeper in cursor:
            yield dict(zip(names, values, strict=True)), keeper


def one(conn: Any, shared: Shared, key: UUID) -> tuple[Row, OrgCode] | None:
    """The row of a key as it stands, and who keeps it."""
    names = list(shared.table.columns)
    found = conn.execute(
        f"SELECT {', '.join(names)}, {shared.keeper} FROM {shared.name}"  # noqa: S608
        f" WHERE {shared.table.key} = %s",
        (key,),
    ).fetchone()
    return (dict(zip(names, found[:-1], strict=True)), found[-1]) if found else None


def said_by(
    projection: Projection, shared: Shared, key: UUID, facts: Sequence[Entry]
) -> dict[str, bytes] | None:
    """What should stand in a row: its stream's facts, projected once more into nothing.

    Each row stands for one stream, so no other fact is needed.
    """
    rows = {table.name: Rows(table, ()) for table in projection.tables}
    wanted = [entry for entry in facts if projection.wants(entry.record.topic)]
    projection.apply(wanted, rows)
    row = rows[shared.name].get(key)
    return None if row is None else canonical(row)


def _spelled(value: Any) -> bytes:
    if value is None:
        return b"-"
    if isinstance(value, datetime):
        value = value.astimezone(UTC).isoformat()
    return b"+" + str(value).encode()


def _told(shared: Shared) -> str:
    if shared.whole:
        return "true OR %s::uuid[] IS NULL"
    return f"{shared.table.key} = ANY(%s)"


_TOLD = {shared.name: _told(shared) for shared in SHARED}


def subjects(row: Row) -> tuple[UUID | None, UUID | None]:
    """The member and the absence a row is about."""
    return row.get("member"), row.get("outflow")


def names_of(conn: Any, members: Iterable[UUID]) -> dict[UUID, str]:
    """The names that can be opened here."""
    query = "SELECT member, name FROM roster_person WHERE member = ANY(%s) AND name IS NOT NULL"
    return dict(conn.execute(query, (list(members),)).fetchall())
