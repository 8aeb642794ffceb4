"""端到端: from a fact's commit at the origin until the host's read model shows it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg

from bench.commands import body
from bench.figures import Figure, percentile
from bench.processes import served, settle
from bench.town import HOST, ORIGIN, Town

SILENCE_S = 20.0
WHOLE = re.compile(rb".*?content-length: (\d+).*?\r\n\r\n(.*)", re.DOTALL)
WARM = 20
PART = 100
"""Samples of ours, then as many of the floor, in turn."""

# The triggers tell of a commit at the moment it can be seen; they cost ours alone a little.
_TRIGGERS = """
    CREATE OR REPLACE FUNCTION {schema}.bench_tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('bench', '{word} ' || NEW.{column}); RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER bench_tell AFTER INSERT ON {schema}.{table}
        FOR EACH ROW EXECUTE FUNCTION {schema}.bench_tell()
"""
_PLACES = (
    (ORIGIN, "stored_events", "originator_id", "recorded"),
    (HOST, "contact", "contact", "seen"),
)


@contextmanager
def listening(town: Town) -> Iterator[psycopg.Connection[Any]]:
    """Hears "recorded ID" when a fact is committed at the origin, "seen ID" when the host shows it.

    ID is the stream of a contact.
    """
    with psycopg.connect(town.url, autocommit=True) as conn:
        for code, table, column, word in _PLACES:
            schema = f"{town.schema}_{code}"
            conn.execute(_TRIGGERS.format(schema=schema, table=table, word=word, column=column))
        conn.execute("LISTEN bench")
        yield conn
        for code, table, _, _ in _PLACES:
            conn.execute(f"DROP TRIGGER IF EXISTS bench_tell ON {town.schema}_{code}.{table}")


class Caller:
    """One kept connection to a node."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(SILENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def post(self, path: str, said: bytes) -> None:
        """One request, up to the end of its answer."""
        self.send(path, said)
        self.answered()

    def send(self, path: str, said: bytes) -> None:
        """The request alone."""
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._socket.sendall(f"{head}content-length: {len(said)}\r\n\r\n".encode() + said)

    def answered(self) -> None:
        """The answer, to its end.

        Raises:
            RuntimeError: it was a refusal.
        """
        received = b""
        while not (whole := WHOLE.match(received)) or len(whole[2]) < int(whole[1]):
            received += self._socket.recv(65536)
        if received[9:10] != b"2":
            raise RuntimeError(received.decode(errors="replace"))


class Watch(Caller):
    """Posts contacts at the origin one by one, and hears of both commits."""

    def __init__(self, town: Town, heard: psycopg.Connection[Any]) -> None:
        super().__init__(town.ports[ORIGIN])
        self._town, self._heard = town, heard

    def sample(self) -> float:
        """Seconds between the two commits."""
        self.send("/contacts", body(self._town))
        moments: dict[str, float] = {}
        for notice in self._heard.notifies(timeout=SILENCE_S):
            moments.setdefault(notice.payload.partition(" ")[0], time.perf_counter())
            if "seen" in moments and "recorded" in moments:
                break
        else:
            raise RuntimeError(f"The host did not see the contact within {SILENCE_S} s.")
        self.answered()
        return moments["seen"] - moments["recorded"]


@contextmanager
def two_nodes(town: Town, **settings: Any) -> Iterator[Watch]:
    """Origin and host in a process each, acquainted and idle."""
    with ExitStack() as stack:
        floor = {"floor": f"http://127.0.0.1:{town.ports[ORIGIN]}"}
        stack.enter_context(served(town, ORIGIN, {}, **settings))
        stack.enter_context(served(town, HOST, floor, **settings))
        for code in (ORIGIN, HOST):
            settle(town, code)
        heard = stack.enter_context(listening(town))
        yield stack.enter_context(closing(Watch(town, heard)))


def over_http(town: Town, samples: int) -> Iterator[Figure]:
    """Against a long poll that is woken, and the next poll that tells of its arrival.

    The floor is the same server and the same client library in the same two processes, with an
    answer of the same size and nothing behind it.
    """
    with two_nodes(town) as watch:
        ours, floor = alternate(watch.sample, lambda: _told(watch), samples)
    yield from figures("e2e.http", ours, floor, town.facts)


def _told(watch: Watch) -> float:
    began = time.perf_counter()
    watch.post("/floor/tell", b"")
    return time.perf_counter() - began


def alternate(ours: Any, floor: Any, samples: int) -> tuple[list[float], list[float]]:
    """Both in turn, after some that do not count."""
    for _ in range(WARM):
        ours()
        floor()
    taken: tuple[list[float], list[float]] = ([], [])
    while len(taken[0]) < samples:
        for work, kept in zip((ours, floor), taken, strict=True):
            kept.extend(work() for _ in range(min(PART, samples)))
    return taken


def figures(name: str, ours: list[float], floor: list[float], facts: int) -> Iterator[Figure]:
    """The middle and the slow end, in milliseconds."""
    for word, share in (("p50", 0.5), ("p99", 0.99)):
        value, least = (percentile(taken, share) * 1000 for taken in (ours, floor))
        yield Figure(f"{name}.{word}", value, "ms", least, facts)
