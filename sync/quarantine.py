"""隔离: what was set aside is checked anew, shown before it is done, and recorded if it passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain.errors import Refusal
from domain.ledger import Beside, Ledger, NotFound
from domain.values import OrgCode
from sync import succession
from sync.checks import Arrivals
from sync.errors import LaneFault, StreamStopped
from sync.store import LaneStore, Parked

RETRY_MAX = 1_000
"""Entries that are retried at once: of one stream, or of one peer."""


class CountDiffers(Refusal):
    """将登记的条数与所确认的不符。Another number would be recorded than the one agreed to."""

    mend = "请重新试读，确认条数后再登记。Do a dry run again, and confirm the count it shows."


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
    """What a retry records, or would record, what still fails, and how many were waiting."""

    peer: OrgCode
    dry_run: bool
    recorded: tuple[Address, ...]
    failing: tuple[Failing, ...]
    waiting: int
    records: tuple[StoredEvent, ...]


class Quarantine:
    """Retries what was set aside, one stream or one peer at a time, by the rules of today."""

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
        return self._again(parked[0].peer, parked, dry_run=dry_run, count=None)

    def retry_all(self, peer: OrgCode, *, dry_run: bool, count: int | None = None) -> Difference:
        """As retry, for all streams of a peer in the order of its lane.

        Raises:
            CountDiffers: it is no dry run, and `count` is not how many would be recorded.
            Overtaken: somebody else recorded it in between.
        """
        parked = self._store.parked_all(peer, RETRY_MAX)
        return self._again(peer, parked, dry_run=dry_run, count=count or 0)

    def _again(
        self,
        peer: OrgCode,
        parked: list[Parked],
        *,
        dry_run: bool,
        count: int | None,
    ) -> Difference:
        good, failing = self._sort(peer, parked)
        if not dry_run and count not in {None, len(good)}:
            raise CountDiffers(count=count, would=len(good), waiting=self._store.parked(peer))
        waiting = len(parked) if count is None else self._store.parked(peer)
        records = tuple(entry.record for entry in good)
        if good and not dry_run:
            now = self._clock()
            until = self._store.standing_in(peer).number
            self._ledger.replicate(
                [*records, *succession.adopted(self._ledger, records, until, now)],
                Tracking(f"quarantine:{good[0].id}", good[0].id),
                tuple(Beside("quarantine_resolved", (now, entry.id)) for entry in good),
            )
        done = tuple(_address(entry) for entry in good)
        return Difference(peer, dry_run, done, tuple(failing), waiting, records)

    def _sort(self, peer: OrgCode, parked: Sequence[Parked]) -> tuple[list[Parked], list[Failing]]:
        streams = {_address(entry).stream for entry in parked}
        arrivals = Arrivals(self._ledger, peer, self._store.records(streams), {})
        good: list[Parked] = []
        failing: list[Failing] = []
        stopped: set[UUID] = set()
        for entry in parked:
            address = _address(entry)
            try:
                if address.stream in stopped:
                    raise StreamStopped(stream=address.stream)
                arrivals.take(entry.record)
            except LaneFault as fault:
                stopped.add(address.stream)
                failing.append(Failing(address, fault.code(), str(fault)))
            else:
                good.append(entry)
        return good, failing


def _address(entry: Parked) -> Address:
    record = entry.record
    stream = record.originator_id
    assert isinstance(stream, UUID)
    return Address(record.topic, stream, record.originator_version, entry.number)
