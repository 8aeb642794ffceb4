"""补记: records our own facts that peers gave back, with their places on the lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.aggregate import Aggregate
from domain.ledger import Beside, Ledger
from domain.records import decode, key_ids
from domain.sealing import DataKey
from domain.values import OrgCode
from sync.errors import DoesNotFit, VersionGap
from sync.granted import GrantKeyring
from sync.relay import NUMBER_MAX, Relay
from sync.store import LaneStore
from sync.taking_back import Back, Heard, Listening, Place, PlaceTaken


class RecordingBack:
    """One for a node; what is there already is passed over, so that it may begin again."""

    def __init__(
        self,
        ledger: Ledger,
        store: LaneStore,
        keyring: GrantKeyring,
        relay: Relay,
        listening: Listening,
    ) -> None:
        self._ledger, self._store, self._keyring = ledger, store, keyring
        self._relay, self._listening = relay, listening

    def missing(self, heard: dict[OrgCode, Heard]) -> dict[Place, Back]:
        """What peers hold of ours and is not here, each once.

        Raises:
            PlaceTaken: something else stands in its place.
        """
        found: dict[Place, Back] = {}
        for each in heard.values():
            for row in self._lost(each.rows):
                known = found.setdefault(row.place, row)
                _must_be_one(known.record, row.record)
        return found

    def _lost(self, rows: Sequence[Back]) -> list[Back]:
        here = self._store.places(row.place for row in rows) if rows else {}
        for row in rows:
            if row.place in here:
                _must_be_one(here[row.place], row.record)
        return [row for row in rows if row.place not in here]

    def record(self, heard: dict[OrgCode, Heard]) -> None:
        """Record what is missing and number every lane as its peer has it, in several commits.

        Raises:
            PlaceTaken, DoesNotFit, VersionGap.
        """
        for peer, each in heard.items():
            rows = self._unnumbered(peer, each)
            for at in range(0, len(rows), NUMBER_MAX):
                self._commit(peer, rows[at : at + NUMBER_MAX], each.keys)
            if each.rows and not each.whole:
                self._listening.agree(peer, each.rows[-1].number)
        self._relay.relearn()

    def _unnumbered(self, peer: OrgCode, heard: Heard) -> list[Back]:
        """Rows that our lane does not have; numbers we gave to something else are taken back."""
        _, ours = self._store.page(peer, heard.agreed, len(heard.rows))
        pairs = zip(ours, heard.rows, strict=False)
        same = next((n for n, (o, r) in enumerate(pairs) if o.root != r.root), len(ours))
        if same < len(ours):
            self._store.cut_lane(peer, heard.agreed + same)
        return heard.rows[same:]

    def _commit(self, peer: OrgCode, rows: Sequence[Back], keys: dict[UUID, DataKey]) -> None:
        lost = self._lost(rows)
        self._must_fit(row.record for row in lost)
        beside = (*self._kept(keys), self._lane(peer, rows), self._grants(peer, rows, keys))
        self._ledger.replicate(
            [row.record for row in lost], None, (*beside, Beside("relay_again", ()))
        )

    def put_back(self, rows: Sequence[Back], heard: dict[OrgCode, Heard]) -> None:
        """Record facts alone, in this order, with all keys that came; lanes are numbered later."""
        keys = {key.id: key for each in heard.values() for key in each.keys.values()}
        beside = (*self._kept(keys), Beside("relay_again", ()))
        self._ledger.replicate([row.record for row in rows], None, beside)

    def _kept(self, keys: dict[UUID, DataKey]) -> list[Beside]:
        fresh = (key for key in keys.values() if self._keyring.key(key.id) is None)
        return [self._keyring.row(key, self._ledger.org) for key in fresh]

    @staticmethod
    def _lane(peer: OrgCode, rows: Sequence[Back]) -> Beside:
        places = [row.place for row in rows]
        return Beside(
            "lane_back",
            (
                peer,
                [row.number for row in rows],
                [stream for stream, _ in places],
                [version for _, version in places],
                [bytes.fromhex(row.root) for row in rows],
            ),
        )

    def _grants(self, peer: OrgCode, rows: Sequence[Back], keys: dict[UUID, DataKey]) -> Beside:
        """Which keys travelled with which number: whoever asks for it again gets them again."""
        may = self._relay.granting.open_to(peer)
        first: dict[UUID, int] = {}
        for row in rows:
            for key_id in key_ids(row.record):
                key = keys.get(key_id) or self._keyring.key(key_id)
                if key is not None and key.data_class in may:
                    first.setdefault(key_id, row.number)
        return Beside("grant_back", (peer, list(first), list(first.values())))

    def _must_fit(self, records: Iterable[StoredEvent]) -> None:
        """Try them on copies: what cannot be applied would make its stream unloadable."""
        known: dict[UUID, tuple[int, Aggregate | None]] = {}
        for record in records:
            stream = record.originator_id
            assert isinstance(stream, UUID)
            version, aggregate = known.get(stream) or self._known(stream)
            if record.originator_version != version + 1:
                raise VersionGap(expected=version + 1, got=record.originator_version)
            try:
                fact = decode(record)
                aggregate = fact.mutate(aggregate) if fact else aggregate
            except Exception as fault:  # noqa: BLE001 - it would happen at every reading.
                raise DoesNotFit(topic=record.topic, because=type(fault).__name__) from None
            known[stream] = version + 1, aggregate

    def _known(self, stream: UUID) -> tuple[int, Aggregate | None]:
        found = self._ledger.find(Aggregate, stream)
        return len(self._ledger.stream(stream)), found.private_copy() if found else None


def _must_be_one(one: StoredEvent, other: StoredEvent) -> None:
    if one != other:
        raise PlaceTaken(stream=one.originator_id, version=one.originator_version)
