"""同步约定: for which purposes, of which classes and until when a peer may open what we keep."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from domain.aggregate import Aggregate, Fact, current
from domain.errors import Invalid, NothingChanged, Refusal
from domain.purposes import CLASSES, Purpose
from domain.values import DataClass, OrgCode, Text, Value

PACT_DAYS_MAX = 3_660
"""How long a pact may run; then it is looked at again, and renewed or not."""

KEYS_PASSED_MAX = 300
"""Withheld keys that one fact brings; a batch holds twice as many."""


class Sharing(StrEnum):
    """依据: as what the law takes the passing of personal data between two organizations."""

    JOINT = "joint"
    ENTRUSTED = "entrusted"
    PROVIDED = "provided"


SHARING: dict[Sharing, str] = {
    Sharing.JOINT: "共同处理（PIPL 第二十条）joint handling",
    Sharing.ENTRUSTED: "委托处理（PIPL 第二十一条）entrusted handling",
    Sharing.PROVIDED: "向其他处理者提供（PIPL 第二十三条）provision to another handler",
}


class PactTerms(Value):
    """What was agreed; both days are civil days, and the last one counts."""

    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=len(Purpose))]
    classes: Annotated[tuple[DataClass, ...], Field(min_length=1, max_length=len(DataClass))]
    effective_from: date
    until: date
    basis: Sharing = Sharing.JOINT
    document: Text | None = None
    signed_by: Text | None = None


class PactState(StrEnum):
    """状态: how a pact stands on a day."""

    NONE = "未约定"
    AHEAD = "未生效"
    IN_FORCE = "有效"
    LAPSED = "已到期"
    ENDED = "已终止"


class PactDates(Invalid):
    """约定起止日期不正确。The days of the pact do not fit."""

    mend = (
        "止期不早于起期和今天，起期不早于前一版，期限不超过上限。The last day is not before the "
        "first, nor before today; the first not before that of the version before."
    )


class ClassWithoutPurpose(Invalid):
    """所约定的用途不需要该类数据。None of the purposes needs data of that class."""

    mend = "请去掉该类别，或补充用途，见 /reference/purposes。Drop the class, or name its purpose."


class PactStands(Refusal):
    """与该组织的同步约定已订立。A pact with that organization stands already."""

    mend = "请变更（续期）或先终止。Change or renew it, or end it first."


class NoPact(Refusal):
    """与该组织没有现行的同步约定。No pact with that organization stands."""

    mend = "请先订立：waystation pact conclude。Conclude one first: waystation pact conclude."


class Pact(Aggregate):
    """What one organization lets one peer open; the peer hears every fact of it.

    It lets keys pass and calls none back: what was opened is known, and erasure is the way.
    """

    class Concluded(Fact):
        """订立同步约定."""

        TOPIC: ClassVar[str] = "pact.concluded"
        peer: OrgCode
        terms: PactTerms

        def apply(self, pact: Pact) -> None:
            pact.editions, pact.ended = (self.terms,), None

    class Changed(Fact):
        """变更、续期: another version from its first day on."""

        TOPIC: ClassVar[str] = "pact.changed"
        terms: PactTerms
        reason: Text | None = None

        def apply(self, pact: Pact) -> None:
            pact.editions += (self.terms,)

    class Ended(Fact):
        """提前终止: at once."""

        TOPIC: ClassVar[str] = "pact.ended"
        reason: Text

        def apply(self, pact: Pact) -> None:
            pact.ended = self

    class Resumed(Fact):
        """补送密钥: with this fact go keys that were withheld, the oldest first."""

        TOPIC: ClassVar[str] = "pact.resumed"
        keys: Annotated[int, Field(ge=1)]
        """How many waited when it was recorded, up to KEYS_PASSED_MAX."""

        def apply(self, pact: Pact) -> None:
            pact.resumed_in = self.originator_version

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.editions: tuple[PactTerms, ...] = ()
        self.ended: Pact.Ended | None = None
        self.resumed_in = 0
        """The version of the newest fact that brought withheld keys."""

    @staticmethod
    @lru_cache(1024)
    def id_of(keeper: OrgCode, peer: OrgCode) -> UUID:
        """One stream a pair and keeper."""
        return uuid5(NAMESPACE_URL, f"pact:{keeper}:{peer}")

    @property
    def stands(self) -> bool:
        """Whether it was concluded and not ended; it may have lapsed."""
        return bool(self.editions) and self.ended is None

    def on(self, day: date) -> PactTerms | None:
        """The version that counts on a day, if it is in force."""
        if self.ended is not None:
            return None
        begun = [each for each in self.editions if each.effective_from <= day]
        return begun[-1] if begun and day <= begun[-1].until else None

    def state_on(self, day: date) -> PactState:
        """How it stands on a day."""
        if not self.editions:
            return PactState.NONE
        if self.ended is not None:
            return PactState.ENDED
        if self.on(day) is not None:
            return PactState.IN_FORCE
        ahead = self.editions[-1].effective_from > day
        return PactState.AHEAD if ahead else PactState.LAPSED

    def runs_until(self, day: date) -> date:
        """The last day on which it is in force without a gap, counted from a day on which it is."""
        terms = self.on(day)
        assert terms is not None, "Asked only while it is in force."
        following = self.on(terms.until + timedelta(days=1))
        return terms.until if following is None else self.runs_until(following.effective_from)

    def agree(self, peer: OrgCode, terms: PactTerms) -> None:
        """Conclude it, or change the one that stands; nothing where it says the same."""
        if not self.stands:
            self.conclude(peer, terms)
        elif terms != self.editions[-1]:
            self.change(peer, terms, None)

    def conclude(self, peer: OrgCode, terms: PactTerms) -> None:
        """Agree with a peer.

        Raises:
            PactStands, PactDates, ClassWithoutPurpose.
        """
        if self.stands:
            raise PactStands(peer=peer, until=self.editions[-1].until.isoformat())
        _must_fit(terms, terms.effective_from)
        self.trigger(self.Concluded, share_with=(peer,), peer=peer, terms=terms)

    def change(self, peer: OrgCode, terms: PactTerms, reason: str | None) -> None:
        """Agree on another version; renewal is a version with a later last day.

        Raises:
            NoPact, NothingChanged, PactDates, ClassWithoutPurpose.
        """
        self._must_stand(peer)
        if terms == self.editions[-1]:
            raise NothingChanged(peer=peer)
        _must_fit(terms, self.editions[-1].effective_from)
        self.trigger(self.Changed, share_with=(peer,), terms=terms, reason=reason)

    def end(self, peer: OrgCode, reason: str) -> None:
        """End it at once.

        Raises:
            NoPact.
        """
        self._must_stand(peer)
        self.trigger(self.Ended, share_with=(peer,), reason=reason)

    def resume(self, peer: OrgCode, keys: int) -> None:
        """Say that withheld keys follow.

        Raises:
            NoPact: it is not in force.
        """
        if self.on(current.get().today) is None:
            raise NoPact(peer=peer)
        self.trigger(self.Resumed, share_with=(peer,), keys=keys)

    def _must_stand(self, peer: OrgCode) -> None:
        if not self.stands:
            raise NoPact(peer=peer)


def _must_fit(terms: PactTerms, not_before: date) -> None:
    first, last, today = terms.effective_from, terms.until, current.get().today
    days = (last - first).days + 1
    if first < not_before or last < max(first, today) or days > PACT_DAYS_MAX:
        raise PactDates(
            effective_from=first.isoformat(),
            until=last.isoformat(),
            not_before=not_before.isoformat(),
            today=today.isoformat(),
            maximum_days=PACT_DAYS_MAX,
        )
    needed = {each for purpose in terms.purposes for each in CLASSES[purpose]}
    if idle := [each for each in terms.classes if each not in needed]:
        raise ClassWithoutPurpose(classes=idle, purposes=terms.purposes)
