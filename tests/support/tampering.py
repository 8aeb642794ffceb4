"""篡改: random changes of a node's tables beside the node, each undone after it was looked at."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from psycopg import sql

Row = tuple[str | None, ...]
"""As text, column by column."""

TRIES_MAX = 200
"""Changes drawn until one is possible, and changes something that is bound."""

_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
            AND a.attnum = ANY(i.indkey)),
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
            AND a.attnum = ANY(i.indkey))
    FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    kind: str
    needed: bool
    key: bool
    unique: bool


@dataclass(frozen=True)
class Change:
    """Some rows of a table were replaced by others."""

    table: str
    how: str
    gone: tuple[Row, ...]
    come: tuple[Row, ...]

    def __str__(self) -> str:
        return f"{self.how} {self.table}: {self.gone} → {self.come}"


def _moved(first: str, second: str) -> Callable[[random.Random, str], str]:
    return lambda _, value: second if value == first else first


_OTHER: dict[str, Callable[[random.Random, str], str]] = {
    "uuid": lambda rng, _: str(UUID(int=rng.getrandbits(128))),
    "boolean": _moved("true", "false"),
    "bigint": lambda rng, value: str(int(value or 0) + rng.choice((-1, 1, 2, 1_000))),
    "integer": lambda rng, value: str(int(value or 0) + rng.choice((-1, 1, 2, 1_000))),
    "bytea": lambda rng, value: "\\x" + _bent(rng, bytes.fromhex(value[2:])).hex(),
    "date": _moved("2024-02-29", "2024-03-01"),
    "timestamp with time zone": _moved("2024-02-29 08:00:00+00", "2024-03-01 08:00:00+00"),
    "jsonb": lambda rng, _: json.dumps({"other": rng.getrandbits(32)}),
    "text[]": lambda rng, _: f"{{x{rng.getrandbits(16)}}}",
    "text": lambda rng, value: _bent(rng, value.encode("latin-1", "replace")).decode("latin-1"),
}


def other(rng: random.Random, kind: str, value: str | None) -> str:
    """Another value of a type, near the one there was."""
    return _OTHER[kind](rng, value or "")


def _bent(rng: random.Random, raw: bytes) -> bytes:
    """A byte changed, cut off or put in between; of text still printable."""
    at, letter = rng.randrange(len(raw) + 1), rng.randrange(33, 127)
    if at == len(raw) or rng.random() < 0.1:
        return raw[:at] + bytes([letter]) + raw[at:]
    if rng.random() < 0.1:
        return raw[:at] + raw[at + 1 :]
    return raw[:at] + bytes([letter if raw[at] != letter else letter ^ 1]) + raw[at + 1 :]


@dataclass
class Tampered:
    """One table, as somebody with the database's password sees it."""

    name: str
    columns: list[Column]
    rows: list[Row]
    before: list[Row] = field(default_factory=list)
    """As it was earlier in its life."""
    unbound: frozenset[str] = frozenset()
    """Columns that prove nothing."""

    def draw(self, rng: random.Random, how: str) -> Change | None:
        """A change of that kind; None where the table is too small for it."""
        gone, come = getattr(self, f"_{how}")(rng)
        if set(map(self._said, gone)) == set(map(self._said, come)):
            return None
        return Change(self.name, how, tuple(gone), tuple(come))

    def _said(self, row: Row) -> Row:
        return tuple(
            v for v, c in zip(row, self.columns, strict=True) if c.name not in self.unbound
        )

    def _edit(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        row, at = self._one(rng), self._at(rng)
        if row is None or at is None:
            return [], []
        return [row], [self._with(rng, row, at)]

    def _with(self, rng: random.Random, row: Row, at: int) -> Row:
        column, value = self.columns[at], row[at]
        new = None if not column.needed and value and rng.random() < 0.1 else ""
        new = other(rng, column.kind, value) if new is not None else None
        return (*row[:at], new, *row[at + 1 :])

    def _swap(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        """One value of two rows."""
        return self._exchanged(rng, [at] if (at := self._at(rng)) is not None else [])

    def _reorder(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        """All that stands under two keys."""
        return self._exchanged(rng, [i for i, c in enumerate(self.columns) if c.key])

    def _exchanged(self, rng: random.Random, at: list[int]) -> tuple[list[Row], list[Row]]:
        if len(self.rows) < 2 or not at:
            return [], []
        one, two = rng.sample(self.rows, 2)
        if rng.random() < 0.5:
            place = rng.randrange(len(self.rows) - 1)
            one, two = self.rows[place], self.rows[place + 1]
        come = [
            tuple(theirs[i] if i in at else mine[i] for i in range(len(mine)))
            for mine, theirs in ((one, two), (two, one))
        ]
        return [one, two], come

    def _cut(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        """A row, some that follow one another, or all from one to the end."""
        if not self.rows:
            return [], []
        first = rng.randrange(len(self.rows))
        end = rng.choice((first + 1, first + rng.randrange(1, 20), len(self.rows)))
        return self.rows[first:end], []

    def _insert(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        row = self._one(rng)
        if row is None:
            forged = [None if not c.needed else other(rng, c.kind, None) for c in self.columns]
            return [], [tuple(forged)]
        for at, column in enumerate(self.columns):
            if column.unique or rng.random() < 0.2:
                row = self._with(rng, row, at)
        return [], [row]

    def _roll_back(self, rng: random.Random) -> tuple[list[Row], list[Row]]:
        """The table as it was, or one of its rows."""
        gone = [row for row in self.rows if row not in set(self.before)]
        come = [row for row in self.before if row not in set(self.rows)]
        if rng.random() < 0.5 or not come:
            return gone, come
        keys = [i for i, c in enumerate(self.columns) if c.key]
        old = rng.choice(come)
        now = [row for row in gone if all(row[i] == old[i] for i in keys)]
        return now, [old]

    def _one(self, rng: random.Random) -> Row | None:
        return rng.choice(self.rows) if self.rows else None

    def _at(self, rng: random.Random) -> int | None:
        bound = [i for i, c in enumerate(self.columns) if c.name not in self.unbound]
        return rng.choice(bound) if bound else None


OPERATIONS = ("edit", "swap", "reorder", "cut", "insert", "roll_back")


class Intruder:
    """Whoever owns the database: no trigger stops him."""

    def __init__(self, conninfo: str, schema: str) -> None:
        freely = f"-c session_replication_role=replica -c search_path={schema}"
        self.conn = psycopg.connect(conninfo, options=freely, autocommit=True)

    def close(self) -> None:
        self.conn.close()

    def tables(self) -> list[str]:
        """Every table there is, from the catalogue of the database."""
        found = self.conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        )
        return [name for (name,) in found.fetchall()]

    def read(self, table: str, where: str = "true") -> tuple[list[Column], list[Row]]:
        """The columns and rows of a table, in the order of its key."""
        columns = [Column(*row) for row in self.conn.execute(_COLUMNS, (table,)).fetchall()]
        names = sql.SQL(", ").join(sql.SQL("{}::text").format(_id(c.name)) for c in columns)
        keys = [_id(c.name) for c in columns if c.key] or [_id(columns[0].name)]
        query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {}")
        asked = query.format(names, _id(table), sql.SQL(where), sql.SQL(", ").join(keys))
        return columns, self.conn.execute(asked).fetchall()

    @contextmanager
    def changed(self, table: Tampered, change: Change) -> Iterator[bool]:
        """With a change committed; whether the database let it be made. Undone at the end."""
        done = False
        with suppress(psycopg.errors.IntegrityError, psycopg.errors.DataError):
            self.make(table, change)
            done = True
        try:
            yield done
        finally:
            if done:
                self._replace(table, change.come, change.gone)

    def make(self, table: Tampered, change: Change) -> None:
        """A change, for good."""
        self._replace(table, change.gone, change.come)

    def _replace(self, table: Tampered, gone: Sequence[Row], come: Sequence[Row]) -> None:
        with self.conn.transaction():
            for row in gone:
                self._delete(table, row)
            for row in come:
                self._insert(table, row)

    def _delete(self, table: Tampered, row: Row) -> None:
        keys = [i for i, c in enumerate(table.columns) if c.key] or range(len(row))
        named = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT DISTINCT FROM %s::" + table.columns[i].kind).format(
                _id(table.columns[i].name)
            )
            for i in keys
        )
        query = sql.SQL("DELETE FROM {} WHERE {}").format(_id(table.name), named)
        assert self.conn.execute(query, [row[i] for i in keys]).rowcount == 1, (table.name, row)

    def _insert(self, table: Tampered, row: Row) -> None:
        values = sql.SQL(", ").join(sql.SQL(f"%s::{column.kind}") for column in table.columns)
        query = sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE VALUES ({})")
        self.conn.execute(query.format(_id(table.name), values), row)


def _id(name: str) -> sql.Identifier:
    return sql.Identifier(name)


Allowed = Callable[[Change], bool]


def changes(
    rng: random.Random,
    tables: Sequence[Tampered],
    allowed: Mapping[str, Allowed],
) -> Iterator[tuple[Tampered, Change]]:
    """Random changes without end: first a table, then an operation, then where."""
    while True:
        for _ in range(TRIES_MAX):
            table, how = rng.choice(tables), rng.choice(OPERATIONS)
            change = table.draw(rng, how)
            if change is None:
                continue
            counts = allowed.get(table.name)
            if counts is None or counts(change):
                yield table, change
                break
        else:
            raise AssertionError(f"None of {[table.name for table in tables]} can be changed.")
