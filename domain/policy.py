"""制度参数: an organization's intervals and validities, versioned, each from its effective date."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Annotated, ClassVar, get_args
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import AfterValidator, Field

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid
from domain.passage import LETTER_VALID_MAX_DAYS, Level
from domain.purposes import RETENTION
from domain.values import DataClass, OrgCode, Text, Value

Days = Annotated[int, Field(ge=1, le=3660)]


class PolicyNotLater(Invalid):
    """新制度的生效日期必须晚于现行制度。A policy takes effect after the one before it."""

    mend = "请改用更晚的生效日期。Give a later effective date."


def _in_order(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    rank = get_args(Level)
    if not levels or list(levels) != sorted(set(levels), key=rank.index):
        raise ValueError("审批层级须由下而上，不得重复。Levels go upwards, each once.")
    return levels


class TransferTerms(Value):
    """What a transfer takes; letters are valid for as long as is usual between cities."""

    levels: Annotated[tuple[Level, ...], AfterValidator(_in_order)] = ("branch", "committee")
    approval_days: Days = 10
    letter_validity_days: Annotated[int, Field(ge=1, le=LETTER_VALID_MAX_DAYS)] = 30
    receipt_days: Days = 30
    dispute_days: Days = 30


Years = Annotated[int, Field(ge=1, le=100)]


class RetentionTerms(Value):
    """How many years each class is kept once a file is over, and whether a node destroys it then.

    Without `performs` what is due is proposed, and people decide.
    """

    identity: Years = RETENTION[DataClass.IDENTITY].years
    contact: Years = RETENTION[DataClass.CONTACT].years
    family: Years = RETENTION[DataClass.FAMILY].years
    notes: Years = RETENTION[DataClass.NOTES].years
    restricted: Years = RETENTION[DataClass.RESTRICTED].years
    performs: bool = False


class Terms(Value):
    """The parameters; the defaults are those of the domain page, none is a law in code."""

    contact_interval_days: Days = 7
    offer_validity_days: Days = 30
    report_in_days: Days = 30
    registration_days: Days = 10
    document: Text | None = None
    transfer: TransferTerms | None = None
    """None: the defaults."""
    retention: RetentionTerms | None = None
    """None: the defaults."""

    @property
    def transfers(self) -> TransferTerms:
        """What a transfer takes."""
        return self.transfer or TransferTerms()

    @property
    def retained(self) -> RetentionTerms:
        """How long personal data are kept."""
        return self.retention or RetentionTerms()


class Edition(Value):
    """One version of the policy."""

    version: int
    effective_from: date
    terms: Terms


DEFAULT = Edition(version=0, effective_from=date.min, terms=Terms())
"""In force until an organization adopts its own."""


class Policy(Aggregate):
    """The policy of one organization, shared with its peers so that both count the same days."""

    class Adopted(Fact):
        """制度发布."""

        TOPIC: ClassVar[str] = "policy.adopted"
        effective_from: date
        terms: Terms

        def apply(self, policy: Policy) -> None:
            edition = Edition(
                version=self.originator_version,
                effective_from=self.effective_from,
                terms=self.terms,
            )
            policy.editions += (edition,)

    class Shared(Fact):
        """制度告知."""

        TOPIC: ClassVar[str] = "policy.shared"

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.editions: tuple[Edition, ...] = ()

    @staticmethod
    @lru_cache(1024)
    def id_of(org: OrgCode) -> UUID:
        """One stream an organization."""
        return uuid5(NAMESPACE_URL, f"policy:{org}")

    def adopt(self, terms: Terms, effective_from: date, peers: tuple[OrgCode, ...]) -> None:
        """Adopt a new edition.

        Raises:
            PolicyNotLater: when it would take effect on or before the newest edition.
        """
        if self.editions and effective_from <= self.editions[-1].effective_from:
            raise PolicyNotLater(
                effective_from=effective_from.isoformat(),
                newest=self.editions[-1].effective_from.isoformat(),
            )
        self.trigger(self.Adopted, share_with=peers, effective_from=effective_from, terms=terms)

    def share(self, peer: OrgCode) -> None:
        """Tell a new peer."""
        if peer not in self.audience:
            self.trigger(self.Shared, share_with=(peer,))

    def on(self, day: date) -> Edition:
        """The edition in force on a day."""
        in_force = [e for e in self.editions if e.effective_from <= day]
        return in_force[-1] if in_force else DEFAULT
