"""到达时间: when each read model had passed a position, kept for the newest batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

TIMES_MAX = 20_000
"""Batches whose time is kept, of all read models together."""

TABLE = """
    CREATE TABLE IF NOT EXISTS read_model_time (
        position bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),
        names text[] NOT NULL
    );
    CREATE INDEX IF NOT EXISTS read_model_time_position ON read_model_time (position)
"""

_PASSED = """
    SELECT n.name, m.position, t.at FROM unnest(%s::text[]) AS n (name)
    JOIN read_model m ON m.name = n.name
    LEFT JOIN LATERAL (
        SELECT at FROM read_model_time WHERE position >= %s AND n.name = ANY(names)
        ORDER BY position, at LIMIT 1
    ) t ON (SELECT min(position) FROM read_model_time) <= %s
"""
_FORGET = """
    DELETE FROM read_model_time WHERE position <= (
        SELECT position FROM read_model_time ORDER BY position DESC OFFSET %s LIMIT 1
    )
"""


def passed(
    conn: Any, names: Sequence[str], position: int
) -> dict[str, tuple[bool, datetime | None]]:
    """By read model, whether it has passed a position, and when, as far as that is kept."""
    rows = conn.execute(_PASSED, (list(names), position, position)).fetchall()
    return {name: (at_position >= position, at) for name, at_position, at in rows}


def forget(conn: Any) -> int:
    """Drop what is beyond TIMES_MAX; how many rows."""
    return int(conn.execute(_FORGET, (TIMES_MAX,)).rowcount)
