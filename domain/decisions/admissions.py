"""转入: decisions of the receiver about a transfer, and how a file goes on at its new keeper."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from domain.activity import Activity
from domain.admission import Admission
from domain.aggregate import Aggregate, Fact
from domain.aggregate import current as stamp
from domain.attendance import Attendance
from domain.commands import (
    AdmitByLetter,
    AdmitTransfer,
    HandOn,
    PassOn,
    ReceiveMember,
    RefuseTransfer,
    ReturnSlip,
    TraceFile,
)
from domain.contact import Contact
from domain.decisions.home import us
from domain.decisions.members import MemberKnown, files_of, on_file
from domain.decisions.table import Decision, decide
from domain.decisions.transfers import PURPOSE
from domain.errors import Invalid, Refusal
from domain.inflow import Inflow
from domain.ledger import Ledger, NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import State
from domain.records import digest, open_field
from domain.sealing import Unopenable
from domain.transfer import Transfer
from domain.values import born_on, sex_of


class NotSentToUs(Refusal):
    """该转接不是转给本组织的。The transfer is addressed to another organization."""

    kind = "forbidden"


class DispatchNotWaiting(Refusal):
    """该次转接已不再等待答复。That dispatch no longer waits for an answer."""

    mend = "请联系转出组织重新开具。Ask the origin to send or reissue it."


class FileUnreadable(Refusal):
    """未获授权查看该党员的身份信息，无法建档。The member's file does not open here."""

    mend = "请转出组织开放身份信息。Ask the origin to grant the class identity."


class AdmittedBeforeSent(Invalid):
    """接收日期早于转出日期。Admitted before it was sent."""


class AdmissionIsVoid(Refusal):
    """本组织的接收已被答复为无效。The admission has been answered as void."""

    mend = "请查看原因，等待对方重新转出。See why, and wait until it is sent anew."


class HistoryBroken(Refusal):
    """此前的档案与后一档案所载不符。An earlier file is not the one that the next goes on from."""

    mend = (
        "请两个组织核对该档案：一方可能改动过数据库。"
        "Have both organizations compare that file: one database may have been altered."
    )


FILES_MAX = 100
"""Of one person at all his keepers: so far back a file is followed."""

_FILE = tuple(name for name in Member.Registered.model_fields if name not in Fact.model_fields)
_NEEDED = ("name", "number", "born_on")
"""Without which no file is opened."""


def file_of(ledger: Ledger, file: UUID) -> dict[str, Any]:
    """What a member's file says today, as far as it opens here.

    Raises:
        FileUnreadable: name, number or date of birth do not.
    """
    said: dict[str, Any] = dict.fromkeys(_FILE)
    for fact in ledger.facts(file):
        told = {n: _opened(ledger, fact, n) for n in _FILE if getattr(fact, n, None) is not None}
        said |= told
        if isinstance(fact, Member.IdentityCorrected) and (number := told.get("number")):
            said |= {"born_on": born_on(number).isoformat(), "sex": sex_of(number)}
    if missing := [name for name in _NEEDED if said[name] is None]:
        raise FileUnreadable(member=file, fields=missing)
    return said


def _opened(ledger: Ledger, fact: Fact, name: str) -> Any:
    try:
        return open_field(fact, name, ledger.keyring)
    except Unopenable:
        return None  # Said as FileUnreadable, if it is needed.


def _sent(ledger: Ledger, command: AdmitTransfer | RefuseTransfer) -> tuple[Transfer, Admission]:
    transfer = ledger.look_up(Transfer, command.transfer)
    if transfer.to != ledger.org:
        raise NotSentToUs(transfer=transfer.id, to=transfer.to)
    if not transfer.awaits(command.dispatch) or stamp.get().now >= transfer.last.until:
        last = transfer.last if transfer.dispatches else None
        evidence = {"last": last and last.number, "until": last and last.until.isoformat()}
        raise DispatchNotWaiting(dispatch=command.dispatch, state=transfer.state, **evidence)
    return transfer, _admission(ledger, transfer.id, transfer.subject)


def _admission(ledger: Ledger, transfer: UUID, person: UUID | None) -> Admission:
    id_ = Admission.id_of(transfer, ledger.org)
    known = ledger.find(Admission, id_)
    return known.private_copy() if known else Admission.begin(id_, person)


def _must_be_admissible(ledger: Ledger, number: str, sent_on: date, admitted_on: date) -> None:
    if admitted_on < sent_on:
        raise AdmittedBeforeSent(sent_on=sent_on.isoformat())
    known = on_file(ledger, number)
    if known is not None and known.released_on is None:
        raise MemberKnown(member=known.id)


@decide.register
def _(command: AdmitTransfer, ledger: Ledger) -> Decision:
    transfer, admission = _sent(ledger, command)
    number = file_of(ledger, transfer.member)["number"]
    _must_be_admissible(ledger, number, transfer.last.sent_on, command.admitted_on)
    admission.admit(transfer.keeper, **dict(command))
    return (admission,)


@decide.register
def _(command: AdmitByLetter, ledger: Ledger) -> Decision:
    """The same answer, on the same stream, only earlier than the facts it answers.

    The origin's order decides about it as about any other: an admission by a letter that was void
    already is answered as void, when the lanes have caught up.
    """
    said = {n: getattr(command, n) for n in AdmitTransfer.model_fields}
    if ledger.find(Transfer, command.transfer) is not None:
        return decide(AdmitTransfer(**said), ledger)
    us(ledger).peer(command.origin)
    if stamp.get().now >= command.until:
        raise DispatchNotWaiting(dispatch=command.dispatch, until=command.until.isoformat())
    _must_be_admissible(ledger, command.number, command.sent_on, command.admitted_on)
    admission = _admission(ledger, command.transfer, command.person)
    admission.admit(command.origin, **said)
    return (admission,)


@decide.register
def _(command: RefuseTransfer, ledger: Ledger) -> Decision:
    transfer, admission = _sent(ledger, command)
    admission.refuse(transfer.keeper, **dict(command))
    return (admission,)


@decide.register
def _(command: ReturnSlip, ledger: Ledger) -> Decision:
    transfer = ledger.look_up(Transfer, command.transfer)
    if transfer.to != ledger.org:
        raise NotSentToUs(transfer=transfer.id, to=transfer.to)
    admission = ledger.open(Admission, Admission.id_of(transfer.id, ledger.org))
    counts = transfer.state in {State.SENT, State.ADMITTED, State.COMPLETED}
    if admission.admitted is not None:
        counts = counts and admission.admitted == transfer.last.number
    if not counts:
        raise AdmissionIsVoid(transfer=transfer.id, state=transfer.state)
    if admission.admitted is not None and transfer.state is not State.COMPLETED:
        # By a letter he was admitted before his file came: once released, it must go on here.
        file_of(ledger, transfer.member)
    day = command.returned_on or stamp.get().today
    admission.return_slip(transfer.id, day, handler=command.handler, phone=command.phone)
    return (admission,)


@decide.register
def _(command: ReceiveMember, ledger: Ledger) -> Decision:
    transfer = ledger.look_up(Transfer, command.transfer)
    admission = ledger.open(Admission, Admission.id_of(transfer.id, ledger.org))
    old = ledger.look_up(Member, transfer.member)
    if old.released_to != ledger.org:
        raise NotSentToUs(transfer=transfer.id, to=old.released_to)
    said = file_of(ledger, old.id)
    files, next_id = files_of(ledger, said["number"])
    if going_on := next((file for file in files if file.continues == old.id), None):
        return (going_on.private_copy(),)
    [released] = [r for r in ledger.stream(old.id) if r.topic == Member.Released.TOPIC]
    last = digest(released)
    said |= {"origin": old.keeper, "branch": admission.branch, "transfer": transfer.id}
    member = Member.receive(next_id, old.person, file=old.id, last=last, **said)
    hosts = tuple(peer for peer in us(ledger).peers if peer in old.audience)
    admission.note_file(transfer.id, member.id, last, hosts)
    return member, admission


@decide.register
def _(command: PassOn, ledger: Ledger) -> Decision:
    admission = ledger.open(Admission, Admission.id_of(command.transfer, ledger.org))
    file = None if admission.file is None else ledger.look_up(Member, admission.file)
    if file is None or file.released_to is None:
        raise NotFound(kind="released-file", id=command.transfer)
    told = (command.to,) if command.to in us(ledger).peers else ()
    admission.pass_on(command.transfer, command.to, told)
    return (admission,)


@decide.register
def _(command: TraceFile, ledger: Ledger) -> Decision:
    """Said when all of the earlier file is here: from then on hosts may tell what they know."""
    admission = ledger.open(Admission, Admission.id_of(command.transfer, ledger.org))
    file, last = ledger.look_up(Member, command.file), _said_of(ledger, admission, command.file)
    released = [r for r in ledger.stream(file.id) if r.topic == Member.Released.TOPIC]
    if [digest(record) for record in released] != [last]:
        raise HistoryBroken(file=file.id, keeper=file.keeper, named=last)
    numbers = range(1, file.absences + 1)
    absences = [ledger.look_up(Outflow, Outflow.id_of(file.id, n)) for n in numbers]
    heard = {file.keeper, *(code for absence in absences for code in absence.audience)}
    told = tuple(code for code in us(ledger).peers if code in heard)
    admission.trace(command.transfer, file.id, last, told)
    return (admission,)


def _said_of(ledger: Ledger, admission: Admission, file: UUID) -> str:
    """The hash of an earlier file's last record, as the file that goes on from it has it.

    Raises:
        NotFound: it is none of the files that ours goes on from, or one between is not here yet.
    """
    later = admission.file
    for _ in range(FILES_MAX):
        if later is None:
            break
        first = ledger.facts(later)[:1]
        if not first or not isinstance(first[0], Member.Received):
            break
        if first[0].file == file:
            return first[0].last
        later = first[0].file
    raise NotFound(kind="earlier-file", id=file)


@decide.register
def _(command: HandOn, ledger: Ledger) -> Decision:
    us(ledger).peer(command.to)
    record = ledger.open(Aggregate, command.record)
    match record:
        case Outflow():
            record.hand_on(command.to, PURPOSE)
        case Member():
            record.disclose(command.to, PURPOSE)
        case Contact() | Attendance() | Inflow() | Transfer():
            record.hand_on(command.to)
        case _:
            raise NotFound(kind="record-of-a-member", id=command.record)
    if not isinstance(record, Attendance):
        return (record,)
    activity = ledger.open(Activity, record.activity)
    activity.share((command.to,))
    return record, activity
