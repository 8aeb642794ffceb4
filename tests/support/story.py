"""故事: given these facts, when this command, then those facts, on a real ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from eventsourcing.persistence import StoredEvent, Tracking

from api.storage import keyring as keyring_module
from api.storage.database import Database as Connections
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from domain.aggregate import Fact, Meta, Stamp, current
from domain.commands import Command
from domain.decisions import decide
from domain.errors import Refusal
from domain.ledger import Ledger, Receipt
from domain.records import PERSONAL, encode, open_field
from domain.values import Author, Occurred, OrgCode, Source
from tests.support.anew import begin_anew
from tests.support.postgres import Database, remove_all

NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
"""2026-01-05, nine in the morning in Jiuquan."""

TODAY = date(2026, 1, 5)

ORIGIN, CHENGDU, SHENZHEN = "jiuquan", "chengdu", "shenzhen"


def name(text: str) -> UUID:
    """An id a test can spell: equal for equal words."""
    return uuid5(NAMESPACE_URL, f"test:{text}")


@dataclass(frozen=True)
class Said:
    """What a fact says: its topic and the fields it gives, personal ones in the clear."""

    topic: str
    fields: dict[str, Any]
    kind: type[Fact]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Said) and (self.topic, self.fields) == (other.topic, other.fields)

    def __hash__(self) -> int:
        return hash(self.topic)


def fact(kind: type[Fact], /, **fields: Any) -> Said:
    """A fact as far as it says something."""
    return Said(kind.TOPIC, {n: v for n, v in fields.items() if v is not None}, kind)


class Story:
    """One organization's ledger; `given` takes facts as they are, `when` decides a command."""

    def __init__(self, ledger: Ledger, now: datetime = NOW, person: str = "wang") -> None:
        self.ledger, self.now, self.person = ledger, now, person
        self.receipt: Receipt | None = None
        self.refusal: Refusal | None = None
        self.told: list[Fact] = []

    # Given.

    def given(
        self,
        stream: UUID,
        *facts: Said,
        by: OrgCode | None = None,
        about: UUID | None = None,
        heard_by: tuple[OrgCode, ...] = (),
        on: date = TODAY,
    ) -> UUID:
        """Put facts of one stream in the ledger, whether or not today's rules would allow them."""
        keeper = by or self.ledger.org
        version = len(self.ledger.stream(stream))
        records: list[StoredEvent] = []
        for said in facts:
            version += 1
            meta = self._meta(keeper, about, heard_by, on)
            made = said.kind(
                originator_id=stream, originator_version=version, meta=meta, **said.fields
            )
            records.append(encode(made, self.ledger.keyring).record)
        bookmark = Tracking(f"given:{uuid4()}", 1)
        self.ledger.replicate(records, bookmark)
        return stream

    def after(self, **span: float) -> Self:
        """Some time later."""
        self.now += timedelta(**span)
        return self

    # When.

    def when(self, command: Command, person: str | None = None) -> Self:
        """Decide and record a command."""
        self.receipt = self.refusal = None
        before = self.ledger.head
        token = current.set(self._stamp(person))
        try:
            self.receipt = self.ledger.record(*decide(command, self.ledger))
        except Refusal as refusal:
            self.refusal = refusal
        finally:
            current.reset(token)
        news = self.ledger.since(before)
        self.told = [entry.fact for entry in news if entry.fact is not None]
        return self

    # Then.

    def then(self, *facts: Said) -> Receipt:
        """Exactly these facts, in this order."""
        if self.refusal is not None:
            raise AssertionError(f"refused: {self.refusal!r} {self.refusal}") from self.refusal
        assert [self.said(each) for each in self.told] == list(facts)
        assert self.receipt is not None
        return self.receipt

    def then_nothing(self) -> None:
        """Accepted, and nothing is left to record."""
        self.then()

    def then_refused(self, kind: type[Refusal], /, **facts: Any) -> None:
        """Refused for this reason, with at least this evidence, and nothing recorded."""
        assert type(self.refusal) is kind, f"{self.refusal!r} instead of {kind.__name__}"
        assert self.told == []
        assert {n: v for n, v in self.refusal.facts.items() if n in facts} == facts

    def said(self, told: Fact) -> Said:
        """What a recorded fact says, its seals opened."""
        sealed = {field for field, _ in PERSONAL[told.TOPIC]}
        fields = {
            field: open_field(told, field, self.ledger.keyring)
            if field in sealed
            else getattr(told, field)
            for field in set(type(told).model_fields) - set(Fact.model_fields)
        }
        return fact(type(told), **fields)

    def _stamp(self, person: str | None) -> Stamp:
        return Stamp(
            author=Author(org=self.ledger.org, person=person or self.person),
            now=self.now,
            correlation=uuid4(),
            command=uuid4(),
        )

    def _meta(
        self, keeper: OrgCode, about: UUID | None, heard_by: tuple[OrgCode, ...], on: date
    ) -> Meta:
        return Meta(
            recorded_at=self.now,
            occurred=Occurred.day(on),
            author=Author(org=keeper, person=self.person),
            keeper=keeper,
            subject=about,
            audience=heard_by,
            source=Source(),
            correlation=uuid4(),
        )


class Slate:
    """One schema and its writer, wiped between stories; much quicker than a new one for each."""

    def __init__(self, database: Database) -> None:
        self._connections = Connections(database.url, database.schema)
        NodeKeyring(self._connections, ORIGIN, b"m" * 32, b"b" * 32)
        self._recorder = GroupRecorder(self._connections, keyring_module.BESIDE)

    def story(self, org: OrgCode) -> Story:
        """A story on an empty ledger."""
        with self._connections.connection() as conn:
            remove_all(conn, "subject_key")
        begin_anew(self._recorder)
        keyring = NodeKeyring(self._connections, org, b"m" * 32, b"b" * 32)
        return Story(Ledger(org, self._recorder, keyring))

    def close(self) -> None:
        self._recorder.close()
        self._connections.close()
