"""审计: how many facts of an exported ledger are verified in a second, by two processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from api.ledger_export import export
from bench.figures import Figure, timed
from bench.town import ORIGIN, Town
from domain.values import utc_now
from sync.verifier import ledger

RATE = 1_000_000 / 60
"""A million facts in a minute."""


def measure(town: Town) -> Iterator[Figure]:
    """The town's own ledger, as its node exports it."""
    node = town.open(ORIGIN)
    try:
        # A node that serves has said which keys it signs with.
        node.key_change.announce()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "town.ledger"
            with path.open("wb") as file:
                file.writelines(export(node.log, node.keys, node.ledger.head, utc_now()))
            size = ledger.verify(path, {}).size
            took = timed(lambda: ledger.verify(path, {}))
    finally:
        node.close()
        node.database.close()
    yield Figure("audit.verify", size / took, "facts/s", RATE, size)
