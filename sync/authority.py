"""权限: which peer may author which fact, checked entry by entry as it arrives."""

from __future__ import annotations

from uuid import UUID

from domain.aggregate import Fact
from domain.attendance import Attendance
from domain.catalogue import PRIVATE
from domain.claim import Claim
from domain.contact import Contact
from domain.inflow import Inflow
from domain.ledger import Ledger
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.policy import Policy
from domain.values import OrgCode
from sync.errors import NotTheirTopic, Unknown


def check(fact: Fact, sender: OrgCode, ledger: Ledger, arriving: dict[UUID, Fact]) -> None:
    """Whether the sender may say this.

    `arriving` holds the opening facts of this very batch, not yet in the ledger.

    Raises:
        NotTheirTopic: the fact is not theirs to author.
        Unknown: it concerns an absence that is not known here.
    """
    if fact.TOPIC in PRIVATE or isinstance(fact.AGGREGATE, Organization):
        raise NotTheirTopic(topic=fact.TOPIC, sender=sender)
    if fact.meta.author.org != sender:
        raise NotTheirTopic(topic=fact.TOPIC, author=fact.meta.author.org)
    rule = _RULES.get(fact.AGGREGATE)
    if rule is not None and fact.originator_version == 1:
        rule(fact, sender, ledger, arriving)
    if fact.AGGREGATE in (Inflow, Contact, Attendance) and hasattr(fact, "outflow"):
        _must_take_part(fact.outflow, fact, sender, ledger, arriving)


def _policy(fact: Fact, sender: OrgCode, _: Ledger, __: dict[UUID, Fact]) -> None:
    if fact.originator_id != Policy.id_of(sender):
        raise NotTheirTopic(topic=fact.TOPIC, sender=sender)


def _outflow(fact: Fact, sender: OrgCode, ledger: Ledger, arriving: dict[UUID, Fact]) -> None:
    member_id = getattr(fact, "member", None)
    member = ledger.find(Member, member_id) if isinstance(member_id, UUID) else None
    first = arriving.get(member_id) if isinstance(member_id, UUID) else None
    keeper = member.keeper if member else first.meta.keeper if first else sender
    if keeper != sender:
        raise NotTheirTopic(topic=fact.TOPIC, keeper=keeper)


def _claim(fact: Fact, sender: OrgCode, ledger: Ledger, _: dict[UUID, Fact]) -> None:
    inflow = ledger.find(Inflow, getattr(fact, "inflow", fact.originator_id))
    if inflow is None or inflow.keeper != ledger.org or inflow.origin != sender:
        raise NotTheirTopic(topic=fact.TOPIC, sender=sender)


def _must_take_part(
    outflow_id: UUID, fact: Fact, sender: OrgCode, ledger: Ledger, arriving: dict[UUID, Fact]
) -> None:
    outflow = ledger.find(Outflow, outflow_id)
    if outflow is not None:
        if sender != outflow.keeper and sender not in outflow.audience:
            raise NotTheirTopic(topic=fact.TOPIC, sender=sender)
        if fact.meta.subject != outflow.member and not isinstance(fact, Inflow.Accepted):
            # A host that found a member first knows him under a pseudonym of its own.
            inflow = ledger.find(Inflow, fact.originator_id)
            if inflow is None or not inflow.found:
                raise NotTheirTopic(topic=fact.TOPIC, subject=fact.meta.subject)
        return
    first = arriving.get(outflow_id)
    if first is None or first.meta.keeper != sender:
        raise Unknown(topic=fact.TOPIC, outflow=outflow_id)


_RULES = {Policy: _policy, Outflow: _outflow, Claim: _claim}
