"""聚合: decides what may happen; written only by its keeper, the organization that opened it."""

from __future__ import annotations

from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from domain.errors import Invalid
from domain.values import AUDIENCE_MAX, Author, FactId, Occurred, OrgCode, Source

CIVIL_ZONE = ZoneInfo("Asia/Shanghai")

DEFAULT_SOURCE = Source()


class InTheFuture(Invalid):
    """发生日期晚于今天。The date lies in the future."""

    mend = "请核对日期，不能晚于今天。Check the date; it may not be later than today."


class TooManyHear(Invalid):
    """知悉该记录的组织过多。Too many organizations would hear of the record."""

    mend = "请核对要告知的组织。Check which organizations need to know."


_UUID_FORM = 0xF << 76 | 0b11 << 62
"""The bits of a UUID that say of which version and variant it is."""


@lru_cache
def _mask(kind: str) -> int:
    """What tells the ids of one command apart, one mask a kind of stream."""
    return int.from_bytes(sha256(kind.encode()).digest()[:16]) & ~_UUID_FORM


class SecondPersonNeeded(Invalid):
    """须由另一人复核。A second person must confirm it."""

    mend = "请由另一名经办人确认。Let another officer confirm."


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every fact of one command shares: who, when, from where, because of what.

    `command` names this command alone, `correlation` the whole chain it belongs to (one import,
    one request and what followed from it).
    """

    author: Author
    now: datetime
    correlation: UUID
    command: UUID
    source: Source = DEFAULT_SOURCE
    causation: FactId | None = None
    policy: int | None = None

    def new_id(self, kind: str) -> UUID:
        """The id of a stream this command opens: the same command again collides, never doubles."""
        # Not hashed: the command's id is a random one or a hash already, and every command pays it.
        return UUID(int=self.command.int ^ _mask(kind))

    @property
    def today(self) -> date:
        """The civil date in Asia/Shanghai."""
        return self.now.astimezone(CIVIL_ZONE).date()


current: ContextVar[Stamp] = ContextVar("stamp")
"""From a context variable, so that no decision's signature is polluted by it."""


def must_not_lie_ahead(day: date) -> None:
    """Refuse a date after today."""
    today = current.get().today
    if day > today:
        raise InTheFuture(on=day.isoformat(), today=today.isoformat())


def must_be_two(second_person: str | None) -> None:
    """Refuse what one person alone says, where two must."""
    person = current.get().author.person
    if not second_person or second_person.strip() == person:
        raise SecondPersonNeeded(person=person)


@lru_cache(1024)
def _occurred(day: date) -> Occurred:
    return Occurred(on=day)


class Part(BaseModel):
    """A part of a stored fact: frozen; a field from a newer peer is passed over, its bytes kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Meta(Part):
    """What is known about a fact besides what it says."""

    schema_version: Annotated[int, Field(ge=1)] = 1
    recorded_at: AwareDatetime
    occurred: Occurred
    author: Author
    keeper: OrgCode
    subject: UUID | None = None
    audience: tuple[OrgCode, ...] = ()
    source: Source
    causation: FactId | None = None
    correlation: UUID
    policy: int | None = None
    corrects: FactId | None = None


class Fact(Part):
    """事实: something that happened, about at most one person; immutable.

    Satisfies the event protocol of `eventsourcing` (originator_id, originator_version, mutate).
    """

    TOPIC: ClassVar[str]
    VERSION: ClassVar[int] = 1
    AGGREGATE: ClassVar[type[Aggregate]]

    originator_id: UUID
    originator_version: int
    meta: Meta

    @property
    def id(self) -> FactId:
        """The name of this fact."""
        return FactId(stream=self.originator_id, version=self.originator_version)

    def apply(self, aggregate: Any) -> None:
        """Change the state; never refuse: what is recorded has happened."""

    def mutate(self, aggregate: Aggregate | None) -> Aggregate:
        """The aggregate after this fact; the first fact creates it."""
        if aggregate is None:
            aggregate = self.AGGREGATE(self.originator_id, self.meta.keeper)
            aggregate.subject = self.meta.subject
        self.apply(aggregate)
        aggregate.heard_by(self.meta.audience)
        aggregate.version = self.originator_version
        return aggregate


class Aggregate:
    """One stream of facts and the rules for adding to it."""

    def __init_subclass__(cls) -> None:
        for member in vars(cls).values():
            if isinstance(member, type) and issubclass(member, Fact):
                member.AGGREGATE = cls

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002 - the library's name.
        self.id = id
        self.keeper = keeper
        self.version = 0
        self.subject: UUID | None = None
        self.audience: tuple[OrgCode, ...] = ()
        self.pending: tuple[Fact, ...] = ()

    def heard_by(self, more: tuple[OrgCode, ...]) -> None:
        """The audience only grows."""
        if more != self.audience:
            self.audience += tuple(org for org in more if org not in self.audience)

    @classmethod
    def begin(cls, id: UUID, subject: UUID | None = None) -> Self:  # noqa: A002
        """A new stream, kept by the organization of the current author; the first fact follows."""
        aggregate = cls(id, current.get().author.org)
        aggregate.subject = subject
        return aggregate

    def trigger(
        self,
        kind: type[Fact],
        /,
        *,
        on: date | Occurred | None = None,
        share_with: tuple[OrgCode, ...] = (),
        corrects: FactId | None = None,
        **body: Any,
    ) -> None:
        """Add a fact and apply it; guards come before.

        Raises:
            InTheFuture: when it is said to have happened after today.
            TooManyHear: more than AUDIENCE_MAX organizations.
        """
        stamp = current.get()
        occurred = on if isinstance(on, Occurred) else _occurred(on or stamp.today)
        must_not_lie_ahead(occurred.on)
        audience = self._audience_with(share_with)
        meta = Meta(
            schema_version=kind.VERSION,
            recorded_at=stamp.now,
            occurred=occurred,
            author=stamp.author,
            keeper=self.keeper,
            subject=self.subject,
            audience=audience,
            source=stamp.source,
            causation=stamp.causation,
            correlation=stamp.correlation,
            policy=stamp.policy,
            corrects=corrects,
        )
        fact = kind(originator_id=self.id, originator_version=self.version + 1, meta=meta, **body)
        fact.mutate(self)
        self.pending += (fact,)

    def _audience_with(self, more: tuple[OrgCode, ...]) -> tuple[OrgCode, ...]:
        audience = self.audience + tuple(
            org for org in more if org not in self.audience and org != self.keeper
        )
        if len(audience) > AUDIENCE_MAX:
            raise TooManyHear(hearing=len(audience), maximum=AUDIENCE_MAX)
        return audience

    def collect_events(self) -> list[Fact]:
        """Hand over the new facts; the name is the library's."""
        pending, self.pending = self.pending, ()
        return list(pending)

    def private_copy(self) -> Self:
        """A copy to decide on; states hold only immutable values, so a shallow one is enough."""
        return copy(self)
