"""读模型的表: made, dropped, compared, exchanged for those that were built beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from psycopg.errors import LockNotAvailable
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from domain.ledger import Entry
from projections.projection import LateRows, Projection, Row, Rows, Table

NEXT = "__next"
"""The suffix of tables and bookmark while a read model is rebuilt beside the live one."""


def create(conn: Any, projection: Projection, suffix: str) -> None:
    """Tables, indexes and bookmark of a read model, where they are not there yet."""
    for table in projection.tables:
        columns = ", ".join(f"{n} {kind}" for n, kind in table.columns.items())
        name = table.name + suffix
        conn.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({table.key}))")
        if table.personal:
            # The planner's statistics are samples of the values: none of a person are kept there.
            unsampled = (f"ALTER COLUMN {column} SET STATISTICS 0" for column in table.personal)
            conn.execute(f"ALTER TABLE {name} {', '.join(unsampled)}")
        for number, index in enumerate(table.indexes):
            columns, where, only = index.partition(" WHERE ")
            conn.execute(
                f"CREATE INDEX IF NOT EXISTS {name}_{number} ON {name} ({columns}){where}{only}"
            )
    conn.execute(
        "INSERT INTO read_model VALUES (%s, 0) ON CONFLICT DO NOTHING",
        (projection.name + suffix,),
    )


def stand_in(conn: Any, projection: Projection) -> None:
    """Empty tables of the same names that hide the live ones, for this transaction alone."""
    for table in projection.tables:
        columns = ", ".join(f"{n} {kind}" for n, kind in table.columns.items())
        conn.execute(
            f"CREATE TEMP TABLE {table.name} ({columns}, PRIMARY KEY ({table.key})) ON COMMIT DROP"
        )


def apply(conn: Any, projection: Projection, entries: Sequence[Entry], suffix: str = "") -> None:
    """Project what a read model wants of a batch into its tables."""
    if wanted := [e for e in entries if projection.wants(e.record.topic)]:
        _apply(conn, projection, wanted, suffix)
    projection.settle(conn, suffix, entries)


def _apply(conn: Any, projection: Projection, wanted: Sequence[Entry], suffix: str) -> None:
    keys = projection.keys(wanted)
    rows: dict[str, Rows] = {
        t.name: LateRows(t, partial(load, conn, t, keys[t.name], suffix)) for t in projection.tables
    }
    projection.apply(wanted, rows)
    for changed in rows.values():
        write(conn, changed, suffix)


def drop(conn: Any, projection: Projection, suffix: str) -> None:
    """Take them away."""
    for table in projection.tables:
        conn.execute(f"DROP TABLE IF EXISTS {table.name}{suffix}")
    conn.execute("DELETE FROM read_model WHERE name = %s", (projection.name + suffix,))


def lock(conn: Any, projection: Projection) -> bool:
    """Hold the live tables alone, all or none, without waiting.

    Who waits for one while holding another meets a question that does so the other way round.
    """
    names = ", ".join(table.name for table in projection.tables)
    try:
        with conn.transaction():
            conn.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE NOWAIT")
    except LockNotAvailable:
        return False
    return True


def take_over(conn: Any, projection: Projection) -> None:
    """Put the tables that were built beside the live ones in their place."""
    for table in projection.tables:
        name = table.name
        conn.execute(f"DROP TABLE {name}")
        conn.execute(f"ALTER TABLE {name}{NEXT} RENAME TO {name}")
        conn.execute(f"ALTER INDEX {name}{NEXT}_pkey RENAME TO {name}_pkey")
        for number in range(len(table.indexes)):
            conn.execute(f"ALTER INDEX {name}{NEXT}_{number} RENAME TO {name}_{number}")
    # The live bookmark is moved, not replaced: a projector may be waiting for its lock.
    conn.execute(
        "UPDATE read_model SET position = next.position FROM read_model AS next"
        " WHERE read_model.name = %s AND next.name = %s",
        (projection.name, projection.name + NEXT),
    )
    conn.execute("DELETE FROM read_model WHERE name = %s", (projection.name + NEXT,))


def difference(conn: Any, table: Table) -> str | None:
    """The first row that is not the same in both tables; None where they hold the same rows."""
    old, new = table.name, table.name + NEXT
    found = conn.execute(
        f"SELECT {table.key} FROM ((SELECT * FROM {old} EXCEPT ALL SELECT * FROM {new}) UNION ALL"  # noqa: S608
        f" (SELECT * FROM {new} EXCEPT ALL SELECT * FROM {old})) d ORDER BY 1 LIMIT 1"
    ).fetchone()
    return found and f"{old} {found[0]}"


def ask(conn: Any, query: str, values: dict[str, Any], *, prepare: bool | None = None) -> list[Row]:
    """What a question answers within a transaction: each row by column name.

    Not prepared, it is planned for these values alone.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        rows: list[Row] = cursor.execute(query, values, prepare=prepare).fetchall()
    return rows


def load(conn: Any, table: Table, keys: list[Any], suffix: str) -> list[Row]:
    """The rows of these keys."""
    if not keys:
        return []
    query = f"SELECT * FROM {table.name}{suffix} WHERE {table.key} = ANY(%s)"  # noqa: S608
    with conn.cursor(row_factory=dict_row, binary=True) as cursor:
        loaded: list[Row] = cursor.execute(query, (keys,), prepare=True).fetchall()
    return loaded


def write(conn: Any, rows: Rows, suffix: str) -> None:
    """Write the rows that were changed."""
    if not rows.changed:
        return
    table, changed = rows.table, list(rows.changed.values())
    names = list(table.columns)
    arrays = [_column(table, name, changed) for name in names]
    casts = ", ".join(f"%b::{table.columns[name]}[]" for name in names)
    updates = ", ".join(f"{n} = excluded.{n}" for n in names if n != table.key)
    query = (
        f"INSERT INTO {table.name}{suffix} ({', '.join(names)})"  # noqa: S608
        f" SELECT * FROM unnest({casts})"
        f" ON CONFLICT ({table.key}) DO UPDATE SET {updates}"
    )
    conn.execute(query, arrays, prepare=True)


def _column(table: Table, name: str, rows: list[Row]) -> list[Any]:
    values = [row[name] for row in rows]
    if table.columns[name] == "jsonb":
        return [None if value is None else Jsonb(value) for value in values]
    return values
