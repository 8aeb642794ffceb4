"""查阅: the same questions with and without their record, from one caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx

from bench.figures import Figure, interleaved, percentile
from bench.processes import served
from bench.town import ORIGIN, Town

ADDED_MS = 0.5
"""What a record may cost at the median."""

REQUESTS = 200


def measure(town: Town, repeats: int, samples: int) -> Iterator[Figure]:
    """For a page of the roster and one absence: the time beside the unrecorded one, the rest."""
    with (
        served(town, ORIGIN) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        outflow = client.get("/outflows?limit=1").json()["items"][0]["outflow"]

        def run(path: str) -> Callable[[], float]:
            def once() -> float:
                return percentile(
                    [_asked(client, path) for _ in range(min(REQUESTS, samples))], 0.5
                )

            return once

        for name, path in (("page", "/outflows"), ("one", f"/outflows/{outflow}")):
            runs = {"recorded": run(path), "floor": run(f"/floor{path}")}
            ms = interleaved(runs, max(repeats, 3))
            yield Figure(f"read.{name}.p50", ms["recorded"], "ms", ms["floor"], town.facts)
            added = ms["recorded"] - ms["floor"]
            yield Figure(f"read.{name}.added", added, "ms", ADDED_MS, town.facts)


def _asked(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return (time.perf_counter() - began) * 1000
