"""擦除: takes what was overwritten out of the database's files, and out of its log of changes.

PostgreSQL leaves an old row where it was, and its log tells every change. So tables that held a
person's name are written anew, their old files cut to nothing; then the log is switched past every
segment that was set aside for use again, and a checkpoint removes what lies behind it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

import psycopg

from api.storage.database import Database

SWITCHES_MAX = 1_000
"""Segments of the log that are passed in one scrub: 16 GB, four times what is kept at most."""

RELOAD_S = 5.0
"""How long the server may take to follow a changed setting."""

_SEGMENTS = """
    SELECT count(*) FROM pg_ls_waldir() w, pg_control_checkpoint() c
    WHERE w.name ~ '^[0-9A-F]{24}$' AND substr(w.name, 9)
"""
_AHEAD = f"{_SEGMENTS} > substr(pg_walfile_name(pg_current_wal_insert_lsn()), 9)"
_BEHIND = f"{_SEGMENTS} < substr(c.redo_wal_file, 9)"

_log = logging.getLogger(__name__)


def scrub(database: Database, names: Iterable[str]) -> bool:
    """Write tables anew, then let go of the log; whether the log could be let go of as well.

    An operator's server may not let us, and keeps archives that we cannot reach.
    """
    with database.connect() as conn:
        conn.execute("SET statement_timeout = 0")
        for name in names:
            conn.execute(f"VACUUM (FULL) {name}")
        try:
            return _let_go_of_the_log(conn)
        except psycopg.errors.InsufficientPrivilege as fault:
            _log.warning("The log of changes could not be let go of: %s", fault)
            return False


def _let_go_of_the_log(conn: psycopg.Connection[Any]) -> bool:
    conn.execute("ALTER SYSTEM SET wal_recycle = off")
    try:
        _follow(conn, "off")
        # Once, so that nothing more is set aside; then past what was, which fills it with zeros;
        # and once more, to remove all of it.
        conn.execute("CHECKPOINT")
        for _ in range(SWITCHES_MAX):
            _switch(conn)
            if not _count(conn, _AHEAD):
                break
        conn.execute("CHECKPOINT")
    finally:
        conn.execute("ALTER SYSTEM RESET wal_recycle")
        _follow(conn, "on")
    return _count(conn, _BEHIND) == 0


def _switch(conn: psycopg.Connection[Any]) -> None:
    # An empty segment is not switched away from.
    conn.execute("SELECT pg_logical_emit_message(false, 'scrub', '')")
    conn.execute("SELECT pg_switch_wal()")


def _follow(conn: psycopg.Connection[Any], value: str) -> None:
    """Wait until the server has taken the setting: every process of it is told at once."""
    conn.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + RELOAD_S
    while time.monotonic() < deadline:
        found = conn.execute("SHOW wal_recycle").fetchone()
        if found is not None and found[0] == value:
            return
        time.sleep(0.01)


def _count(conn: psycopg.Connection[Any], query: str) -> int:
    found = conn.execute(query).fetchone()
    return 0 if found is None else int(found[0])
