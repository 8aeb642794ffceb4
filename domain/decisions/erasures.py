"""删除: decisions about a request to erase, and about the answer to another organization's."""

from __future__ import annotations

from uuid import UUID

from domain.commands import (
    CompleteErasure,
    ConsultRestricted,
    ExtendErasure,
    FollowErasure,
    GrantErasure,
    KeepInstead,
    LiftRestriction,
    RefuseErasure,
    RequestErasure,
    RestrictProcessing,
    TellDestroyed,
    TellExtended,
)
from domain.decisions.table import Decision, decide
from domain.decisions.transfers import newest_transfer
from domain.destruction import Destruction
from domain.erasure import (
    CLOSED,
    ERASURES_MAX,
    Erasure,
    ErasureOpen,
    NothingToErase,
    State,
    StillInCare,
    TooManyErasures,
)
from domain.errors import Refusal
from domain.extension import FollowsAnother, extend, follow
from domain.ledger import Ledger, NotOurs
from domain.member import Member
from domain.passage import OVER
from domain.sealing import Closure


class OurOwnRequest(Refusal):
    """这是本组织自己的删除申请。The request is our own."""

    mend = "请同意、限制或不予删除。Grant it, restrict, or refuse."


def erasures_of(ledger: Ledger, person: UUID) -> tuple[list[Erasure], UUID]:
    """Our erasures of a person, oldest first, and the id of the next.

    Raises:
        TooManyErasures.
    """
    found: list[Erasure] = []
    for number in range(1, ERASURES_MAX + 1):
        id_ = Erasure.id_of(person, ledger.org, number)
        known = ledger.find(Erasure, id_)
        if known is None:
            return found, id_
        found.append(known)
    raise TooManyErasures(person=person, maximum=ERASURES_MAX)


@decide.register
def _(command: RequestErasure, ledger: Ledger) -> Decision:
    before, id_ = erasures_of(ledger, command.person)
    for known in before:
        if known.state in CLOSED - {State.COMPLETED}:
            raise ErasureOpen(erasure=known.id, state=known.state)
    if all(
        ledger.keyring.closed(command.person, each) is Closure.ERASED for each in command.classes
    ):
        raise NothingToErase(person=command.person, classes=list(command.classes))
    erasure = Erasure.begin(id_, command.person)
    said = dict(command)
    del said["person"]
    erasure.request(**said)
    return (erasure,)


@decide.register
def _(command: GrantErasure, ledger: Ledger) -> Decision:
    erasure = _to_answer(ledger, command.erasure)
    for stream in erasure.streams:
        file = ledger.find(Member, stream)
        if file is not None and file.keeper == ledger.org:
            _must_be_at_rest(ledger, file)
    erasure.grant(command.asked)
    return (erasure,)


def _to_answer(ledger: Ledger, id_: UUID) -> Erasure:
    """One of ours that a person may answer.

    Raises:
        NotFound, NotOurs, FollowsAnother.
    """
    erasure = ledger.open(Erasure, id_)
    if erasure.extends is not None:
        raise FollowsAnother(erasure=id_, extends=erasure.extends)
    return erasure


def _must_be_at_rest(ledger: Ledger, file: Member) -> None:
    """Nobody is made unknown while somebody has to take care of him."""
    _, last = newest_transfer(ledger, file)
    transfer = None if last is None or last.state in OVER else last.id
    if file.away is not None or transfer is not None:
        raise StillInCare(member=file.id, outflow=file.away, transfer=transfer)


@decide.register
def _(command: RestrictProcessing, ledger: Ledger) -> Decision:
    erasure = _to_answer(ledger, command.erasure)
    erasure.restrict(command.reason, command.basis, command.until, command.purposes)
    return (erasure,)


@decide.register
def _(command: RefuseErasure, ledger: Ledger) -> Decision:
    erasure = _to_answer(ledger, command.erasure)
    erasure.refuse(command.reason)
    return (erasure,)


@decide.register
def _(command: LiftRestriction, ledger: Ledger) -> Decision:
    erasure = _to_answer(ledger, command.erasure)
    erasure.lift(command.reason)
    return (erasure,)


@decide.register
def _(command: ConsultRestricted, ledger: Ledger) -> Decision:
    erasure = ledger.open(Erasure, command.erasure)
    file = ledger.look_up(Member, command.member)
    if file.person != erasure.person:
        raise NotOurs(kind="member", id=command.member, keeper=file.keeper)
    erasure.consult(command.member, command.purpose, command.field)
    return (erasure,)


@decide.register
def _(command: CompleteErasure, ledger: Ledger) -> Decision:
    erasure = ledger.open(Erasure, command.erasure)
    erasure.complete(command.kept_by)
    return (erasure,)


def answer_to(ledger: Ledger, erasure: Erasure) -> Destruction:
    """Our answer to an erasure, as far as it is given."""
    id_ = Destruction.id_of(erasure.id, ledger.org)
    known = ledger.find(Destruction, id_)
    return known.private_copy() if known else Destruction.begin(id_, erasure.subject)


@decide.register
def _(command: KeepInstead, ledger: Ledger) -> Decision:
    erasure = ledger.look_up(Erasure, command.erasure)
    if erasure.keeper == ledger.org:
        raise OurOwnRequest(erasure=erasure.id)
    answer = answer_to(ledger, erasure)
    answer.keep(erasure.id, erasure.keeper, command.reason, command.basis, command.until)
    return (answer,)


@decide.register
def _(command: TellDestroyed, ledger: Ledger) -> Decision:
    erasure = ledger.look_up(Erasure, command.erasure)
    answer = answer_to(ledger, erasure)
    answer.tell(erasure.id, erasure.keeper, command.keys, command.passed_to, command.signature)
    return (answer,)


@decide.register
def _(command: ExtendErasure, ledger: Ledger) -> Decision:
    theirs = ledger.look_up(Erasure, command.erasure)
    _, id_ = erasures_of(ledger, theirs.person)
    extension = Erasure.begin(id_, theirs.person)
    extend(extension, theirs, command.streams, command.hearers)
    return (extension,)


@decide.register
def _(command: FollowErasure, ledger: Ledger) -> Decision:
    extension = ledger.open(Erasure, command.extension)
    assert extension.extends is not None
    follow(extension, ledger.look_up(Erasure, extension.extends))
    return (extension,)


@decide.register
def _(command: TellExtended, ledger: Ledger) -> Decision:
    answer = answer_to(ledger, ledger.look_up(Erasure, command.erasure))
    answer.extend(ledger.look_up(Destruction, command.answer), command.org)
    return (answer,)
