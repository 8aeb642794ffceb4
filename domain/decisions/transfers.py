"""转出: decisions of the origin about a transfer, until the affiliation has passed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from domain import reception
from domain.aggregate import current as stamp
from domain.commands import (
    ApproveTransfer,
    CompleteTransfer,
    ExpireTransfer,
    ForwardRecord,
    NoteAdmission,
    NoteRefusal,
    RecordSlip,
    ReissueLetter,
    RejectTransfer,
    ReportLetterLost,
    RequestTransfer,
    SendTransfer,
    WithdrawTransfer,
)
from domain.decisions.home import here, policy_of, us
from domain.decisions.table import Decision, decide
from domain.ledger import Ledger, NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import (
    OVER,
    TRANSFERS_MAX,
    TargetIsOrigin,
    TargetUnclear,
    TooManyTransfers,
    TransferOpen,
)
from domain.policy import TransferTerms
from domain.records import digest
from domain.transfer import Transfer

PURPOSE = "组织关系转接 transfer of the affiliation"
"""The purpose stated when a member is disclosed to the organization that is to receive him."""


def newest_transfer(ledger: Ledger, member: Member) -> tuple[int, Transfer | None]:
    """The number of a file's next transfer, and the one before it.

    Raises:
        TooManyTransfers.
    """
    before: Transfer | None = None
    for number in range(1, TRANSFERS_MAX + 1):
        known = ledger.find(Transfer, Transfer.id_of(member.id, number))
        if known is None:
            return number, before
        before = known
    raise TooManyTransfers(member=member.id, maximum=TRANSFERS_MAX)


def _terms(ledger: Ledger) -> TransferTerms:
    """Our policy in force, which the command is judged by."""
    edition = policy_of(ledger, ledger.org).on(stamp.get().today)
    stamp.set(replace(stamp.get(), policy=edition.version))
    return edition.terms.transfers


@decide.register
def _(command: RequestTransfer, ledger: Ledger) -> Decision:
    if (command.to is None) == (command.to_name is None):
        raise TargetUnclear(to=command.to, to_name=command.to_name)
    if command.to == ledger.org:
        raise TargetIsOrigin(to=command.to)
    if command.to:
        us(ledger).peer(command.to)
    member = ledger.open(Member, command.member)
    member.must_be_member()
    number, before = newest_transfer(ledger, member)
    if before is not None and before.state not in OVER:
        raise TransferOpen(transfer=before.id, state=before.state)
    transfer = Transfer.begin(Transfer.id_of(member.id, number), member.person)
    transfer.request(levels=_terms(ledger).levels, **dict(command))
    return (transfer,)


@decide.register
def _(command: ApproveTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    transfer.approve(command.level, command.note)
    return (transfer,)


@decide.register
def _(command: RejectTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    transfer.reject(command.reason)
    return (transfer,)


@decide.register
def _(command: WithdrawTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    transfer.withdraw(command.reason)
    return (transfer,)


@decide.register
def _(command: SendTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    member = ledger.open(Member, transfer.member)
    days = command.valid_days or _terms(ledger).letter_validity_days
    transfer.send(command.channel, command.letter, days, command.dues_paid_to)
    if transfer.to:
        member.disclose(transfer.to, PURPOSE)
    return transfer, member


@decide.register
def _(command: ReportLetterLost, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    transfer.lose_letter(command.reason)
    return (transfer,)


@decide.register
def _(command: ReissueLetter, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    days = command.valid_days or _terms(ledger).letter_validity_days
    transfer.reissue(command.letter, days, command.basis)
    return (transfer,)


@decide.register
def _(command: ExpireTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    transfer.expire(command.dispatch)
    return (transfer,)


@decide.register
def _(command: NoteAdmission, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    if command.host == transfer.to:
        reception.note_admission(transfer, command.dispatch, command.admitted_on, command.admission)
    return (transfer,)


@decide.register
def _(command: NoteRefusal, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    if command.host == transfer.to:
        reception.note_refusal(transfer, command.dispatch, command.reason_code, command.refusal)
    return (transfer,)


@decide.register
def _(command: CompleteTransfer, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    if command.host != transfer.to:
        return (transfer,)
    if not reception.complete(transfer, command.dispatch, command.returned_on, command.slip):
        return (transfer,)
    return _released(ledger, transfer)


@decide.register
def _(command: RecordSlip, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    reception.complete_on_paper(transfer, **command.model_dump(exclude={"transfer"}))
    return _released(ledger, transfer)


@decide.register
def _(command: ForwardRecord, ledger: Ledger) -> Decision:
    transfer = ledger.open(Transfer, command.transfer)
    before = command.version - 1
    record = next(iter(ledger.stream(command.record, before)), None)
    if record is None:
        raise NotFound(kind="record", id=command.record)
    transfer.forward(record, digest(record))
    return (transfer,)


def _released(ledger: Ledger, transfer: Transfer) -> Decision:
    """The affiliation passes, and in the same commit the absence ends and the file closes.

    The new keeper joins the audience of every absence: what happened in one may then reach him
    from whoever recorded it. The release comes last: whoever hears of it has heard the rest.
    """
    member, today = ledger.open(Member, transfer.member), stamp.get().today
    told = () if transfer.to is None else (transfer.to,)
    absences = []
    ids = [Outflow.id_of(member.id, number) for number in range(1, member.absences + 1)]
    if member.away is not None and not here(ledger, member.away):
        member.come_back(member.away, today)
    for id_ in filter(partial(here, ledger), ids):
        absence = ledger.open(Outflow, id_)
        if id_ == member.away:
            absence.close("transferred", today, told)
            member.come_back(absence.id, today)
        for to in told:
            absence.hand_on(to, PURPOSE)
        absences.append(absence)
    member.release(transfer.id, transfer.to, transfer.to_name)
    return transfer, *absences, member
