"""权限: which peer may author which fact, checked entry by entry as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from uuid import UUID

from domain.aggregate import Aggregate, Fact
from domain.attendance import Attendance
from domain.claim import Claim
from domain.contact import Contact
from domain.inflow import Inflow
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.policy import Policy
from domain.values import OrgCode
from sync.errors import DoesNotFit, NotTheirTopic, Unknown

ABSENCES_MAX = 200
"""Of one member; an absence's id follows from the member and how many there were."""

PRIVATE = "organization."
"""Topics no peer may author, known here or not: an organization's own stream never travels."""

OPENING = frozenset(
    {
        "station.established",
        "unit.opened",
        "policy.adopted",
        "member.registered",
        "outflow.reported",
        "outflow.registered",
        "inflow.reported",
        "inflow.found",
        "inflow.accepted",
        "inflow.declined",
        "inflow.linked",
        "claim.recognized",
        "claim.refused",
        "contact.made",
        "contact.visited",
        "activity.held",
        "attendance.marked",
    }
)
"""With what a stream can open, among the topics known here."""

A = TypeVar("A", bound=Aggregate)


class View(Protocol):
    """What is known here, with what has passed the check before in the same batch."""

    @property
    def org(self) -> OrgCode:
        """Our code."""

    @property
    def sender(self) -> OrgCode:
        """Theirs."""

    def find(self, kind: type[A], id: UUID) -> A | None:  # noqa: A002
        """An aggregate, whoever keeps it."""


def check_author(topic: str, stream: UUID, author: OrgCode, view: View) -> None:
    """Whether the sender may say this at all, of whatever topic.

    Raises:
        NotTheirTopic: it is private, in another's name, or takes a place that is ours.
    """
    if topic.startswith(PRIVATE):
        raise NotTheirTopic(topic=topic, sender=view.sender)
    if author != view.sender:
        raise NotTheirTopic(topic=topic, author=author)
    if stream in (Policy.id_of(view.org), Organization.id_of(view.org)):
        raise NotTheirTopic(topic=topic, stream=stream)


def check(fact: Fact, view: View) -> None:
    """Whether the sender may say this here: what opens a stream, and what concerns an absence.

    Raises:
        NotTheirTopic: the fact is not theirs to author.
        DoesNotFit: a stream cannot open with it.
        Unknown: it concerns an absence that is not known here.
    """
    if fact.originator_version == 1:
        if fact.TOPIC not in OPENING:
            raise DoesNotFit(topic=fact.TOPIC, because="a stream cannot open with it")
        _RULES.get(fact.AGGREGATE, _free)(fact, view)
    if fact.AGGREGATE in _ABOUT_AN_ABSENCE and hasattr(fact, "outflow"):
        _must_take_part(fact.outflow, fact, view)


def _follows(fact: Fact, *ids: UUID) -> None:
    # An id that follows from another cannot be taken by a stream that has nothing to do with it.
    if fact.originator_id not in ids:
        raise NotTheirTopic(topic=fact.TOPIC, stream=fact.originator_id)


def _free(_: Any, __: View) -> None:
    """Whoever writes it may open it, under any id."""


def _policy(fact: Any, view: View) -> None:
    _follows(fact, Policy.id_of(view.sender))


def _outflow(fact: Any, view: View) -> None:
    numbers = range(1, ABSENCES_MAX + 1)
    if not any(fact.originator_id == Outflow.id_of(fact.member, n) for n in numbers):
        _follows(fact)
    # The member's own stream may come later in the lane; a member known here has a keeper.
    member = view.find(Member, fact.member)
    if member is not None and member.keeper != view.sender:
        raise NotTheirTopic(topic=fact.TOPIC, keeper=member.keeper)


def _claim(fact: Any, view: View) -> None:
    _follows(fact, Claim.id_of(fact.inflow))
    inflow = view.find(Inflow, fact.inflow)
    if inflow is None or inflow.keeper != view.org or inflow.origin != view.sender:
        raise NotTheirTopic(topic=fact.TOPIC, sender=view.sender)


def _inflow(fact: Any, view: View) -> None:
    outflow = view.find(Outflow, fact.outflow) if hasattr(fact, "outflow") else None
    if outflow is not None:
        claims = (offer.claim for offer in outflow.offers.values() if offer.claim)
        _follows(fact, Inflow.id_of(outflow.id, view.sender), *claims)


def _attendance(fact: Any, _: View) -> None:
    _follows(fact, Attendance.id_of(fact.activity, fact.outflow))


def _must_take_part(outflow_id: UUID, fact: Fact, view: View) -> None:
    outflow = view.find(Outflow, outflow_id)
    if outflow is None:
        raise Unknown(topic=fact.TOPIC, outflow=outflow_id)
    if view.sender != outflow.keeper and view.sender not in outflow.audience:
        raise NotTheirTopic(topic=fact.TOPIC, sender=view.sender)
    if fact.meta.subject != outflow.member:
        # A host that found a member first knows him under a pseudonym of its own.
        inflow = view.find(Inflow, fact.originator_id)
        if inflow is None or not inflow.found:
            raise NotTheirTopic(topic=fact.TOPIC, subject=fact.meta.subject)


_ABOUT_AN_ABSENCE = (Inflow, Contact, Attendance)
_RULES: dict[type[Aggregate], Callable[[Any, View], None]] = {
    Policy: _policy,
    Outflow: _outflow,
    Claim: _claim,
    Inflow: _inflow,
    Attendance: _attendance,
}
