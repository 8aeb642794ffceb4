"""核对: nothing acknowledged is lost, nothing is there twice, and both sides read the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.records import head
from tests.support.naive import size as leaves
from tests.torture.load import Load, Told
from tests.torture.pair import LEVEL_S, Pair
from tests.torture.supervised import Supervised, until

MODELS = ("roster", "custody", "contacts", "activities", "history")
Name = tuple[UUID, int]


@dataclass
class Book:
    """A node's ledger, read from its database beside it."""

    code: str
    records: dict[Name, StoredEvent]
    by_command: Counter[tuple[UUID, str]]
    """How often a command has recorded a fact of one name, by itself."""

    @classmethod
    def of(cls, node: Supervised) -> Book:
        with node.connect() as conn:
            rows = conn.execute(
                "SELECT originator_id, originator_version, topic, state FROM stored_events"
            ).fetchall()
        records = {(row[0], row[1]): StoredEvent(*row) for row in rows}
        heads = [(head(record).meta, record.topic) for record in records.values()]
        asked = [(m.correlation, topic) for m, topic in heads if m.causation is None]
        return cls(node.code, records, Counter(asked))

    def kept_by(self, code: str, heard_by: str) -> dict[Name, StoredEvent]:
        """What one organization keeps and another must hear of."""
        metas = {name: head(record).meta for name, record in self.records.items()}
        heard = {name[0] for name, meta in metas.items() if heard_by in meta.audience}
        return {
            name: self.records[name]
            for name, meta in metas.items()
            if meta.keeper == code and name[0] in heard
        }


def check(pair: Pair, load: Load) -> None:
    """Wait until both are well and level, then look at everything."""
    for node in pair.both:
        node.await_well()
    until(lambda: level(pair), LEVEL_S, lambda: [n.get("/peers") for n in pair.both])
    # What the relay has yet to number is on no lane, and so behind on none.
    until(lambda: differences(books(pair)) == [], LEVEL_S, lambda: differences(books(pair))[:5])
    held = books(pair)
    for told in load.told:
        once(held[told.code], told)
    for node in pair.both:
        with node.connect() as conn:
            assert leaves(conn)
        assert node.get("/quarantine") == []
        for model in MODELS:
            assert node.post(f"/read-models/{model}/rebuild") == {"name": model, "equal": True}


def books(pair: Pair) -> dict[str, Book]:
    return {node.code: Book.of(node) for node in pair.both}


def differences(held: dict[str, Book]) -> list[Name]:
    """What one organization keeps for another and the other holds differently, or not, or alone."""
    found: set[Name] = set()
    for here, there in permutations(held):
        ours = held[here].kept_by(here, there)
        theirs = {n: r for n, r in held[there].records.items() if _keeper(r) == here}
        found |= {name for name, _ in ours.items() ^ theirs.items()}
    return sorted(found)


def once(book: Book, told: Told) -> None:
    """An acknowledged command stands in the ledger, where its receipt says, as itself."""
    name = UUID(told.receipt["id"]), int(told.receipt["version"])
    record = book.records.get(name)
    assert record is not None, f"lost: {told}"
    assert head(record).meta.correlation == told.command, f"another's: {told}"
    assert book.by_command[told.command, record.topic] == 1, f"doubled: {told}"


def level(pair: Pair) -> bool:
    """Whether each has all that the other has for it, the other knows, and it can be read."""
    return all(map(_read, pair.both)) and all(
        _arrived(here, there) for here, there in (pair.both, pair.both[::-1])
    )


def _arrived(here: Supervised, there: Supervised) -> bool:
    if here.get("/health")["out_lag"]["facts"]:
        return False
    (out,), (back,) = here.get("/peers"), there.get("/peers")
    return bool(out["out_head"] == out["out_acknowledged"] == back["in_number"])


def _read(node: Supervised) -> bool:
    with node.connect() as conn:
        row = conn.execute(
            "SELECT (SELECT max(notification_id) FROM stored_events) ="
            " ALL (SELECT position FROM read_model)"
        ).fetchone()
    return bool(row and row[0])


def _keeper(record: StoredEvent) -> str:
    keeper: str = head(record).meta.keeper
    return keeper
