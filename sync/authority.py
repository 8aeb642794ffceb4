"""权限: which peer may author which fact, checked entry by entry as it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from uuid import UUID

from domain.admission import Admission
from domain.aggregate import Aggregate, Fact
from domain.agreement import Agreement
from domain.attendance import Attendance
from domain.claim import Claim
from domain.contact import Contact
from domain.destruction import Destruction
from domain.erasure import ERASURES_MAX, Erasure
from domain.inflow import Inflow
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.pact import Pact
from domain.passage import TRANSFERS_MAX
from domain.policy import Policy
from domain.signet import Signet
from domain.transfer import Transfer
from domain.values import OrgCode
from sync.errors import DoesNotFit, NotTheirTopic, Unknown

ABSENCES_MAX = 200
"""Of one member; an absence's id follows from the member and how many there were."""

PRIVATE = ("organization.", "access.")
"""Topics no peer may author, known here or not: these streams never travel."""

OPENING = frozenset(
    {
        "station.established",
        "unit.opened",
        "policy.adopted",
        "signet.opened",
        "member.registered",
        "member.received",
        "transfer.requested",
        "admission.admitted",
        "admission.refused",
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
        "agreement.certified",
        "erasure.requested",
        "destruction.done",
        "destruction.kept",
        "pact.concluded",
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
    if stream in (kind.id_of(view.org) for kind in (Policy, Organization, Signet)):
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
    member = _their_member(fact, view)
    gone = None if member is None else member.released_on
    if gone is not None and fact.meta.occurred.on > gone:
        raise DoesNotFit(topic=fact.TOPIC, because="the member was transferred away before")


def _their_member(fact: Any, view: View) -> Member | None:
    """The file may come later in the lane; one known here has a keeper, and is about a person."""
    member = view.find(Member, fact.member)
    if member is not None and member.keeper != view.sender:
        raise NotTheirTopic(topic=fact.TOPIC, keeper=member.keeper)
    if member is not None and member.subject != fact.meta.subject:
        raise NotTheirTopic(topic=fact.TOPIC, subject=fact.meta.subject)
    return member


def _member(fact: Fact, view: View) -> None:
    """A first file bears its person's id; a later one must not be of a member we hold."""
    person = fact.meta.subject
    ours = None if person is None else view.find(Member, person)
    if ours is not None and ours.keeper == view.org and ours.released_on is None:
        raise NotTheirTopic(topic=fact.TOPIC, keeper=ours.keeper)


def _transfer(fact: Any, view: View) -> None:
    numbers = range(1, TRANSFERS_MAX + 1)
    if not any(fact.originator_id == Transfer.id_of(fact.member, n) for n in numbers):
        _follows(fact)
    _their_member(fact, view)


def _admission(fact: Any, view: View) -> None:
    _follows(fact, Admission.id_of(fact.transfer, view.sender))


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


def _agreement(fact: Fact, view: View) -> None:
    _follows(fact, Agreement.id_of(view.sender, view.org))


def _erasure(fact: Any, view: View) -> None:
    """Only who keeps something about the person here may ask that we erase him."""
    subject = fact.meta.subject
    numbers = range(1, ERASURES_MAX + 1)
    if subject is None or not any(
        fact.originator_id == Erasure.id_of(subject, view.sender, n) for n in numbers
    ):
        _follows(fact)
    known = filter(None, (view.find(Aggregate, stream) for stream in fact.streams))
    theirs = [each for each in known if each.keeper == view.sender]
    # Whom we found is known to his keeper by another id: its claim says that he is the same.
    claims = (each.outflow in fact.streams for each in theirs if isinstance(each, Claim))
    if not any(each.subject == subject for each in theirs) and not any(claims):
        raise Unknown(topic=fact.TOPIC, subject=subject)


def _destruction(fact: Any, view: View) -> None:
    _follows(fact, Destruction.id_of(fact.erasure, view.sender))
    erasure = view.find(Erasure, fact.erasure)
    if erasure is None or view.sender not in erasure.audience:
        raise Unknown(topic=fact.TOPIC, erasure=fact.erasure)
    if fact.meta.subject != erasure.subject:
        raise NotTheirTopic(topic=fact.TOPIC, subject=fact.meta.subject)


def _pact(fact: Any, view: View) -> None:
    """What the sender lets us open; what it lets others open is not told here."""
    _follows(fact, Pact.id_of(view.sender, view.org))
    if fact.peer != view.org:
        raise NotTheirTopic(topic=fact.TOPIC, peer=fact.peer)


def _must_take_part(outflow_id: UUID, fact: Fact, view: View) -> None:
    outflow = view.find(Outflow, outflow_id)
    if outflow is None:
        raise Unknown(topic=fact.TOPIC, outflow=outflow_id)
    if view.sender != outflow.keeper and view.sender not in outflow.audience:
        raise NotTheirTopic(topic=fact.TOPIC, sender=view.sender)
    if fact.meta.subject != outflow.person:
        # A host that found a member first knows him under a pseudonym of its own.
        inflow = view.find(Inflow, fact.originator_id)
        if inflow is None or not inflow.found:
            raise NotTheirTopic(topic=fact.TOPIC, subject=fact.meta.subject)


_ABOUT_AN_ABSENCE = (Inflow, Contact, Attendance)
_RULES: dict[type[Aggregate], Callable[[Any, View], None]] = {
    Policy: _policy,
    Member: _member,
    Transfer: _transfer,
    Admission: _admission,
    Outflow: _outflow,
    Claim: _claim,
    Inflow: _inflow,
    Attendance: _attendance,
    Agreement: _agreement,
    Erasure: _erasure,
    Destruction: _destruction,
    Pact: _pact,
}
