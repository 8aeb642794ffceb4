"""进程: starts the nodes and the callers of a run as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.town import Town

ROOT = Path(__file__).parents[1]
STOP_S, SETTLE_S = 20.0, 120.0

BEHIND = """
    SELECT max(notification_id) - (SELECT min(position) FROM read_model) FROM stored_events
"""


@contextmanager
def served(
    town: Town, code: str, more: dict[str, str] | None = None, **settings: Any
) -> Iterator[int]:
    """A node of the town in a process of its own, which has started and caught up."""
    told = {
        "url": town.url,
        "schema": f"{town.schema}_{code}",
        "keys": str(town.folder / code),
        "settings": {**town.settings(code), **settings},
        **(more or {}),
    }
    process = subprocess.Popen(  # noqa: S603 - our own module.
        [sys.executable, "-m", "bench.serve", json.dumps(told)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"The node of {code} did not start.")
        yield town.ports[code]
    finally:
        process.terminate()
        process.wait(STOP_S)


def settle(town: Town, code: str) -> float:
    """Wait until a node's own work has caught up with its ledger; how many seconds it took."""
    began = time.perf_counter()
    database = f"{town.schema}_{code}"
    with psycopg.connect(town.url, autocommit=True, options=f"-csearch_path={database}") as conn:
        while conn.execute(BEHIND).fetchone() != (0,):
            if time.perf_counter() > began + SETTLE_S:
                raise RuntimeError(f"The node of {code} does not catch up.")
            time.sleep(0.05)
    return time.perf_counter() - began


def called(port: int, path: str, bodies: Path, callers: int, seconds: float) -> dict[str, float]:
    """What many callers in a process of their own have seen."""
    words = [str(port), path, str(bodies), str(callers), str(seconds)]
    made = subprocess.run(  # noqa: S603 - our own module.
        [sys.executable, "-m", "bench.load", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    told: dict[str, float] = json.loads(made.stdout)
    if told["refused"]:
        raise RuntimeError(f"{path} refused {told['refused']:.0f} requests")
    return told
