"""认领: the origin's answer to a host that found a member nobody had announced."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.errors import Refusal
from domain.values import OrgCode, Text


class NotAClaim(Refusal):
    """对方没有向本组织提出认领。That is no claim on a member of this organization."""

    mend = "请核对编号。Check the id."


class ClaimNotRecognized(Refusal):
    """该认领尚未确认。The claim is not recognized for this absence and this host."""

    mend = "请先确认对方发现的是本组织党员。Recognize the claim first."


class ClaimAnswered(Refusal):
    """该认领已经答复。The claim is answered already."""


class Claim(Aggregate):
    """Kept by the origin; its id follows from the inflow it answers."""

    class Recognized(Fact):
        """确认是本组织党员: an offer follows."""

        TOPIC: ClassVar[str] = "claim.recognized"
        inflow: UUID
        outflow: UUID

        def apply(self, claim: Claim) -> None:
            claim.answered, claim.outflow = True, self.outflow

    class Refused(Fact):
        """不是本组织党员."""

        TOPIC: ClassVar[str] = "claim.refused"
        inflow: UUID
        reason: Text

        def apply(self, claim: Claim) -> None:
            claim.answered = True

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.answered = False
        self.outflow: UUID | None = None

    @staticmethod
    def id_of(inflow: UUID) -> UUID:
        """One answer a claim."""
        return uuid5(inflow, "claim")

    def recognize(self, inflow: UUID, outflow: UUID, host: OrgCode) -> None:
        self._must_be_open(inflow)
        self.trigger(self.Recognized, share_with=(host,), inflow=inflow, outflow=outflow)

    def refuse(self, inflow: UUID, host: OrgCode, reason: str) -> None:
        self._must_be_open(inflow)
        self.trigger(self.Refused, share_with=(host,), inflow=inflow, reason=reason)

    def _must_be_open(self, inflow: UUID) -> None:
        if self.answered:
            raise ClaimAnswered(inflow=inflow)
