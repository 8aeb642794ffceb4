"""隔离: what was set aside is checked anew, shown before it is done, and recorded if it passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import Tracking

from domain.ledger import Beside, Ledger, NotFound
from domain.values import OrgCode
from sync.checks import Arrivals
from sync.errors import LaneFault, StreamStopped
from sync.store import LaneStore, Parked

RETRY_MAX = 1_000
"""Entries of one stream that are retried at once."""


class Address(NamedTuple):
    """Which entry of which lane."""

    topic: str
    stream: UUID
    version: int
    number: int


class Failing(NamedTuple):
    """An entry that today's rules refuse as well."""

    entry: Address
    code: str
    reason: str


class Difference(NamedTuple):
    """What a retry records, or would record, and what still fails."""

    peer: OrgCode
    dry_run: bool
    recorded: tuple[Address, ...]
    failing: tuple[Failing, ...]


class Quarantine:
    """Retries what was set aside, one stream at a time, by the rules of today."""

    def __init__(self, ledger: Ledger, store: LaneStore, clock: Callable[[], datetime]) -> None:
        self._ledger, self._store, self._clock = ledger, store, clock

    def retry(self, id_: int, *, dry_run: bool) -> Difference:
        """Check an entry and what follows it on its stream anew, and record what passes.

        All that passes is recorded in one transaction, which also marks it as resolved; a dry run
        changes nothing. What fails stops the rest of its stream, and stays where it is.

        Raises:
            NotFound: it is not an open entry of the quarantine. A message that was refused as a
                whole is not retried here: its lane has not advanced, the sender sends it again.
            Overtaken: somebody else recorded it in between.
        """
        parked = self._store.parked_from(id_, RETRY_MAX)
        if not parked:
            raise NotFound(kind="quarantined-entry", id=id_)
        good, failing = self._sort(parked)
        if good and not dry_run:
            now = self._clock()
            self._ledger.replicate(
                [entry.record for entry in good],
                Tracking(f"quarantine:{id_}", id_),
                tuple(Beside("quarantine_resolved", (now, entry.id)) for entry in good),
            )
        return Difference(
            parked[0].peer, dry_run, tuple(_address(entry) for entry in good), tuple(failing)
        )

    def _sort(self, parked: list[Parked]) -> tuple[list[Parked], list[Failing]]:
        stream = _address(parked[0]).stream
        arrivals = Arrivals(self._ledger, parked[0].peer, self._store.records({stream}), {})
        good: list[Parked] = []
        failing: list[Failing] = []
        for entry in parked:
            try:
                if failing:
                    raise StreamStopped(stream=stream)
                arrivals.take(entry.record)
            except LaneFault as fault:
                failing.append(Failing(_address(entry), fault.code(), str(fault)))
            else:
                good.append(entry)
        return good, failing


def _address(entry: Parked) -> Address:
    record = entry.record
    stream = record.originator_id
    assert isinstance(stream, UUID)
    return Address(record.topic, stream, record.originator_version, entry.number)
