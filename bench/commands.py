"""命令: durable commands from many callers, beside the library's own way and the bare database."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import uvloop
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from api.node import Node
from api.service import Who
from api.storage.database import Database
from bench.figures import Figure, interleaved
from bench.town import ORIGIN, Town, contact
from domain.commands import RecordContact

CALLERS = 64
GROUP = 64
"""Rows of one commit of the bare database: what 64 callers can share at best."""

EVENTS = """
    CREATE TABLE IF NOT EXISTS raw_events (
        originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text,
        state bytea, notification_id bigserial, PRIMARY KEY (originator_id, originator_version)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS raw_events_id ON raw_events (notification_id)
"""
INSERT = """
    INSERT INTO raw_events (originator_id, originator_version, topic, state)
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])
"""


def measure(town: Town, seconds: float, repeats: int) -> Iterator[Figure]:
    """Two figures: against the library, and against the database."""
    node = town.open(ORIGIN)
    try:
        bodies = [body(town) for _ in range(1000)]
        state = _size_of_a_contact(node)
        with _library(town, state) as library, _raw(town, state) as raw:
            runs = {
                "ours": ours(node, bodies, seconds),
                "save": lambda: _threads(library, seconds),
                "insert": lambda: _alone(raw, seconds) * GROUP,
            }
            for run in runs.values():
                run()  # Warm: statements prepared, pages and pools there.
            rates = interleaved(runs, repeats)
    finally:
        node.close()
        node.database.close()
    for floor in ("save", "insert"):
        name = f"command.durable/{floor}"
        yield Figure(name, rates["ours"], "commands/s", rates[floor], town.facts)


def body(town: Town) -> bytes:
    """A contact as it arrives."""
    said = contact(town.random.choice(town.absences), date(2025, 3, 1), town.random)
    return json.dumps(said, default=str, ensure_ascii=False).encode()


def ours(node: Node, bodies: list[bytes], seconds: float) -> Callable[[], float]:
    """Commands a second from CALLERS at once."""
    loop = uvloop.new_event_loop()
    validate = RecordContact.__pydantic_validator__.validate_json
    submit, who = node.service.submit, Who()

    async def caller(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            await submit(validate(random.choice(bodies)), who)
            done += 1
        return done

    async def all_of_them() -> float:
        began = time.perf_counter()
        counts = await asyncio.gather(*(caller(began + seconds) for _ in range(CALLERS)))
        return sum(counts) / (time.perf_counter() - began)

    return lambda: loop.run_until_complete(all_of_them())


def _size_of_a_contact(node: Node) -> int:
    with node.database.connection() as conn:
        found = conn.execute(
            "SELECT round(avg(length(state))) FROM stored_events WHERE topic = 'contact.made'"
        ).fetchone()
    return int(found[0]) if found else 0


class _Note(Aggregate):
    @event("Made")
    def __init__(self, said: str) -> None:
        self.said = said


@contextmanager
def _library(town: Town, size: int) -> Iterator[Callable[[], object]]:
    """`Application.save` of eventsourcing as it comes: new aggregates of one event of that size."""
    schema = f"{town.schema}_library"
    Database(town.url, schema).close()
    known = conninfo_to_dict(town.url)
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(known["dbname"]),
        "POSTGRES_HOST": str(known["host"]),
        "POSTGRES_USER": str(known["user"]),
        "POSTGRES_PASSWORD": "",
        "POSTGRES_SCHEMA": schema,
    }
    # What the transcoder adds to the text of such an event is about 140 bytes.
    said = "x" * max(size - 140, 1)
    with Application[UUID](env) as application:
        yield lambda: application.save(_Note(said))


@contextmanager
def _raw(town: Town, size: int) -> Iterator[Callable[[], object]]:
    """GROUP rows in one statement, one commit, one connection: nothing but driver and database."""
    schema = f"{town.schema}_raw"
    database = Database(town.url, schema)
    with database.connect() as conn:
        conn.execute(EVENTS)
        rest: list[Any] = [[1] * GROUP, ["contact.made"] * GROUP, [b"x" * size] * GROUP]

        def insert() -> None:
            ids = [uuid4() for _ in range(GROUP)]
            conn.execute(INSERT, [ids, *rest], prepare=True, binary=True)

        yield insert
    database.close()


def _alone(work: Callable[[], object], seconds: float) -> float:
    """Calls a second from one thread."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        work()
        done += 1
    return done / (time.perf_counter() - began)


def _threads(work: Callable[[], object], seconds: float) -> float:
    """Calls a second from CALLERS threads."""
    began = time.perf_counter()

    def caller(_: int) -> int:
        done = 0
        while time.perf_counter() < began + seconds:
            work()
            done += 1
        return done

    with ThreadPoolExecutor(CALLERS) as pool:
        done = sum(pool.map(caller, range(CALLERS)))
    return done / (time.perf_counter() - began)
