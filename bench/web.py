"""网络: contacts over HTTP, singly and in batches, beside endpoints that only take them in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.commands import body
from bench.figures import Figure, interleaved
from bench.processes import called, served, settle
from bench.town import ORIGIN, Town

CONNECTIONS = 64
BATCH, BATCH_CONNECTIONS = 500, 4


def measure(town: Town, seconds: float, repeats: int) -> Iterator[Figure]:
    """Two figures, each against the no-op of the same models in the same server."""
    with tempfile.TemporaryDirectory() as folder:
        single, many = Path(folder) / "single", Path(folder) / "many"
        bodies = [body(town) for _ in range(2000)]
        single.write_bytes(b"\n".join(bodies))
        lists = (bodies[i : i + BATCH] for i in range(0, len(bodies), BATCH))
        many.write_bytes(b"\n".join(b"[" + b",".join(part) + b"]" for part in lists))
        with served(town, ORIGIN) as port:

            def run(path: str, batch: bool = False) -> Callable[[], float]:  # noqa: FBT001, FBT002
                said, callers = (many, BATCH_CONNECTIONS) if batch else (single, CONNECTIONS)
                times = BATCH if batch else 1

                def once() -> float:
                    # Its own work from the run before must not slow the next one.
                    settle(town, ORIGIN)
                    return called(port, path, said, callers, seconds)["rate"] * times

                return once

            runs = {
                "contact": run("/contacts"),
                "noop": run("/noop"),
                "contact.batch": run("/contacts/batch", batch=True),
                "noop.batch": run("/noop/batch", batch=True),
            }
            rates = interleaved(runs, repeats)
    for name, floor in (("contact", "noop"), ("contact.batch", "noop.batch")):
        yield Figure(f"http.{name}", rates[name], "contacts/s", rates[floor], town.facts)
