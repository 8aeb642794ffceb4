"""场地: the durable PostgreSQL a run is made on, and the settings it ran with."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from api.storage.server import EmbeddedServer
from bench.figures import note
from tests.support.postgres import running_server

STATED = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


@contextmanager
def place() -> Iterator[EmbeddedServer]:
    """A server as a node starts it; nothing is turned off."""
    with running_server(durable=True) as server:
        with psycopg.connect(server.url) as conn:
            told = [
                f"{name}={conn.execute(f'SHOW {name}').fetchone()[0]}"  # type: ignore[index]
                for name in STATED
            ]
        note(f"PostgreSQL on a Unix socket: {', '.join(told)}; {os.cpu_count()} processors")
        # As a node does at start-up (api/app.py), for ours and for the floors alike.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        yield server
