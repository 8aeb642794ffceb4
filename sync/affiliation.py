"""转接核对: whether what a peer says about a transfer follows from what was said before."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.admission import Admission
from domain.aggregate import Aggregate, Fact
from domain.member import Member
from domain.passage import OVER, UNDECIDED, State
from domain.records import Unreadable, decode, digest, head
from domain.transfer import Transfer
from sync.authority import View
from sync.errors import DoesNotFit
from sync.handover import Ours

_FROM: dict[type[Fact], frozenset[State]] = {
    Transfer.Approved: UNDECIDED,
    Transfer.Rejected: UNDECIDED,
    Transfer.Withdrawn: frozenset(State) - OVER,
    Transfer.Sent: frozenset({State.APPROVED, State.DISPUTED}),
    Transfer.Expired: frozenset({State.SENT}),
    Transfer.LetterLost: frozenset({State.SENT}),
    Transfer.Reissued: frozenset({State.LOST, State.EXPIRED}),
    Transfer.Contested: frozenset({State.SENT}),
    Transfer.Admitted: frozenset({State.SENT}),
    Transfer.Completed: frozenset({State.ADMITTED, State.SENT, State.EXPIRED}),
}
"""From which states a step is taken; a void admission is noted in any."""


FORWARDED = (
    "contact.",
    "attendance.",
    "inflow.",
    "outflow.",
    "member.",
    "transfer.",
    "admission.",
)
"""What may be passed on for a third party: what it keeps of a member, an absence or a transfer."""


def check(fact: Fact, aggregate: Aggregate | None, view: View, ours: Ours) -> None:
    """Whether the step is one of a transfer's, so that no peer can say a member here or away.

    Raises:
        DoesNotFit: a step out of order, an answer to what was never sent, a slip or an admission
            of ours that we did not give, a file released or received without its transfer.
    """
    if because := _wrong(fact, aggregate, view, ours):
        raise DoesNotFit(topic=fact.TOPIC, stream=fact.originator_id, because=because)


def _wrong(fact: Fact, aggregate: Aggregate | None, view: View, ours: Ours) -> str | None:
    if isinstance(fact, Member.Received):
        return _wrong_file(fact, view, ours)
    if fact.AGGREGATE is Admission:
        known = aggregate if isinstance(aggregate, Admission) else None
        return _wrong_answer(fact, known, view)
    if isinstance(aggregate, Member):
        return _wrong_release(fact, aggregate, view)
    if isinstance(aggregate, Transfer):
        return _wrong_step(fact, aggregate, ours) or _not_ours(fact, aggregate, ours)
    return None


def _first(*rules: tuple[bool, str]) -> str | None:
    """The first of the rules that is broken."""
    return next((because for broken, because in rules if broken), None)


def _wrong_step(fact: Any, transfer: Transfer, ours: Ours) -> str | None:
    kind, last = type(fact), transfer.dispatches[-1] if transfer.dispatches else None
    if kind in _FROM and transfer.state not in _FROM[kind]:
        return f"not a step from {transfer.state}"
    match fact:
        case Transfer.Approved():
            person = fact.meta.author.person
            return _first(
                (fact.level != transfer.next_level, "not the next level"),
                (person in transfer.approvers, "one person at two levels"),
            )
        case Transfer.Forwarded():
            return _wrong_record(fact, transfer, ours)
        case Transfer.Sent() | Transfer.Reissued():
            follows = fact.dispatch == len(transfer.dispatches) + 1
            return _first((not follows, "the dispatch's number does not follow"))
        case _ if kind in _FROM and hasattr(fact, "dispatch"):
            early = kind is Transfer.Expired and last and fact.meta.recorded_at < last.until
            return _first(
                (last is None or fact.dispatch != last.number, "that dispatch is over"),
                (bool(early), "its time had not run out"),
            )
    return None


def _wrong_record(fact: Transfer.Forwarded, transfer: Transfer, ours: Ours) -> str | None:
    """A third party's record is what its digest says, and about this member."""
    try:
        meta = head(fact.stored).meta
        told = decode(fact.stored)
    except (ValueError, LookupError, Unreadable):
        return "it holds no record"
    return _first(
        (transfer.state is not State.COMPLETED, "it is not complete"),
        (digest(fact.stored) != fact.digest, "another digest"),
        (meta.keeper == fact.meta.keeper, "a record of their own"),
        (meta.keeper == ours.org and not _is_ours(fact, ours), "not a record of ours"),
        (meta.subject != transfer.subject, "another person"),
        (told is not None and not fact.record_topic.startswith(FORWARDED), "not about an absence"),
    )


def _is_ours(fact: Transfer.Forwarded, ours: Ours) -> bool:
    """A host that becomes a later keeper hears what was passed on of its own."""
    return any(record == fact.stored for record in ours.stream(fact.record))


def _not_ours(fact: Fact, transfer: Transfer, ours: Ours) -> str | None:
    """What the origin says that the receiver has said."""
    needs_slip = isinstance(fact, Transfer.Completed) and transfer.to is not None
    if needs_slip and transfer.state is not State.ADMITTED:
        return "nobody has admitted him"
    if transfer.to != ours.org:
        return None
    kind: type[Fact]
    said: str | None
    match fact:
        case Transfer.Admitted():
            kind, said, because = Admission.Admitted, fact.admission, "we did not admit"
        case Transfer.Contested():
            kind, said, because = Admission.Refused, fact.refusal, "we did not refuse"
        case Transfer.Completed():
            kind, said, because = Admission.SlipReturned, fact.slip, "we returned no slip"
        case _:
            return None
    return None if _said(transfer.id, kind, said, ours) else because


def _said(transfer: UUID, kind: type[Fact], said: str | None, ours: Ours) -> bool:
    stream = ours.stream(Admission.id_of(transfer, ours.org))
    return any(record.topic == kind.TOPIC and digest(record) == said for record in stream)


def _wrong_answer(fact: Any, admission: Admission | None, view: View) -> str | None:
    """What the receiver answers; a former host of the member may not know the transfer.

    Only its origin holds the answers to the transfer's order: whoever else hears both, hears them
    on two lanes, and one may be ahead.
    """
    if fact.originator_id != Admission.id_of(fact.transfer, view.sender):
        return "another transfer"
    transfer = view.find(Transfer, fact.transfer)
    if transfer is None:
        return None
    return _first(
        (transfer.to != view.sender, "it was never sent to them"),
        (fact.meta.subject != transfer.subject, "another person"),
    ) or (_wrong_reply(fact, admission, transfer) if transfer.keeper == view.org else None)


def _wrong_reply(fact: Any, admission: Admission | None, transfer: Transfer) -> str | None:
    sent = {each.number for each in transfer.dispatches}
    match fact:
        case Admission.Filed():
            return _first((transfer.state is not State.COMPLETED, "it is not complete"))
        case Admission.PassedOn() | Admission.Traced():
            filed = admission is not None and admission.file is not None
            return _first((not filed, "he is not on file there"))
        case Admission.SlipReturned():
            admitted = admission is not None and fact.dispatch == admission.admitted
            return _first((not admitted, "a slip without an admission"))
        case Admission.Admitted() | Admission.Refused():
            again = admission is not None and fact.dispatch in admission.answered
            return _first(
                (fact.dispatch not in sent, "that was never sent"), (again, "answered already")
            )
    return None


def _wrong_release(fact: Fact, file: Member, view: View) -> str | None:
    if file.released_on is not None and not isinstance(fact, Member.Disclosed):
        return "the file is closed"
    if not isinstance(fact, Member.Released):
        return None
    transfer = view.find(Transfer, fact.transfer)
    if transfer is None:
        return _first((fact.to == view.org, "no transfer of his to us is known"))
    complete = transfer.state is State.COMPLETED and transfer.member == file.id
    return _first(
        (not complete, "no transfer of his is complete"),
        (transfer.to != fact.to, "another receiver"),
    )


def _wrong_file(fact: Member.Received, view: View, ours: Ours) -> str | None:
    """A file that goes on here must have been released there."""
    file = view.find(Member, fact.file)
    if file is None:
        return _first((fact.origin == view.org, "it names a file of ours that is none"))
    released = file.released_to == view.sender and file.keeper == fact.origin
    last = [r for r in ours.stream(file.id) if r.topic == Member.Released.TOPIC]
    return _first(
        (not released, "the file was not released to them"),
        (fact.meta.subject != file.subject, "another person"),
        (bool(last) and digest(last[0]) != fact.last, "it names another last record"),
    )
