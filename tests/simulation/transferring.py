"""办理转接: what officers of origin and receiver might ask for next about a transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID

from domain.admission import Admission
from domain.commands import (
    AdmitByLetter,
    AdmitTransfer,
    ApproveTransfer,
    Command,
    ExpireTransfer,
    RecordSlip,
    RefuseTransfer,
    ReissueLetter,
    RejectTransfer,
    ReportLetterLost,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
    WithdrawTransfer,
)
from domain.passage import OVER, UNDECIDED, State
from domain.transfer import Transfer

Kinds = dict[Callable[..., Command | None], int]
"""What can be asked, and how often it is."""

DUES = date(2025, 12, 1)
HANDLED = {"handler": "经办人", "phone": "13900001111"}


@dataclass
class Letter:
    """What is printed on a letter that the member carries in his pocket."""

    transfer: UUID
    to: str
    said: dict[str, Any] = field(default_factory=dict)


def person_of(command: Command) -> str:
    """Who asks: nobody approves at two levels."""
    if isinstance(command, ApproveTransfer):
        return "甲" if command.level == "branch" else "乙"
    return "officer"


class Transferring:
    """Of the desk, what concerns transfers."""

    def __init__(self, rng: Random, desk: Any) -> None:
        self._rng, self._desk = rng, desk
        self._written: dict[int, Letter] = {}
        self.letters: list[Letter] = []

    def ask(self, node: Any) -> Command | None:
        """A command for a node, chosen by what it knows; None when nothing comes to mind."""
        transfer = self._transfer(node)
        if self._rng.random() < 0.1:
            kinds = _ANYTHING
        elif transfer is None:
            kinds = _BEGINNING
        elif transfer.keeper == node.settings.code:
            kinds = _at_the_origin(transfer)
        elif transfer.to == node.settings.code:
            kinds = _RECEIVING.get(transfer.state, _ELSEWHERE)
        else:
            kinds = _ELSEWHERE
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        made: Command | None = kind(self, node, transfer)
        return made

    def begun(self, node: Any) -> Iterator[Command]:
        """A transfer that is requested, approved and, as a rule, sent."""
        yield self.request(node, None)
        steps: tuple[Any, ...] = (self.approve, self.approve, self.send)
        for step in steps[: self._rng.choice((2, 3, 3, 3))]:
            transfer = self._transfer(node)
            if transfer is not None:
                yield step(node, transfer)

    def sent(self, command: SendTransfer | ReissueLetter) -> None:
        """It is recorded: what was written for it is in the member's hands."""
        if letter := self._written.pop(id(command), None):
            self.letters.append(letter)

    def _transfer(self, node: Any) -> Transfer | None:
        code, ledger = node.settings.code, node.ledger
        known = [t for id_ in self._desk.known["transfer"] if (t := ledger.find(Transfer, id_))]
        for transfer in known:
            if transfer.to == code and transfer.state is State.COMPLETED:
                admission = ledger.find(Admission, Admission.id_of(transfer.id, code))
                here = self._desk.known["member", code]
                if admission and admission.file and admission.file not in here:
                    here.append(admission.file)
        open_ = [t for t in known if t.state not in OVER]
        answers = {State.SENT, State.ADMITTED}
        turn = [t for t in open_ if (t.to if t.state in answers else t.keeper) == code]
        some = turn if turn and self._rng.random() < 0.8 else open_
        some = some if some and self._rng.random() < 0.9 else known
        return self._rng.choice(some) if some else None

    # What can be asked.

    def wait(self, _: Any, __: Transfer | None) -> None:
        """Others have to speak first."""

    def request(self, node: Any, _: Transfer | None) -> Command:
        member = self._desk.pick("member", node.settings.code)
        if member is None:
            registered: Command = self._desk.register(node, None)
            return registered
        if self._rng.random() < 0.1:
            return RequestTransfer(member=member, to_name="某市某镇党委")
        return RequestTransfer(member=member, to=self._desk.peer(node), by="organization")

    def approve(self, node: Any, transfer: Transfer | None) -> Command:
        if transfer is None:
            return self.request(node, None)
        return ApproveTransfer(transfer=transfer.id, level=transfer.next_level or "branch")

    def reject(self, _: Any, transfer: Transfer | None) -> Command:
        return transfer and RejectTransfer(transfer=transfer.id, reason="材料不全")

    def withdraw(self, _: Any, transfer: Transfer | None) -> Command | None:
        return transfer and WithdrawTransfer(transfer=transfer.id, reason="本人不去了")

    def send(self, node: Any, transfer: Transfer | None) -> Command | None:
        if transfer is None:
            return None
        by_letter = transfer.to is None or self._rng.random() < 0.5
        command = SendTransfer(
            transfer=transfer.id,
            channel="letter" if by_letter else "online",
            letter=self._number(transfer) if by_letter else None,
            valid_days=self._valid(),
            dues_paid_to=DUES,
        )
        self._write(node, transfer, command)
        return command

    def reissue(self, node: Any, transfer: Transfer | None) -> Command | None:
        if transfer is None:
            return None
        by_letter = bool(transfer.dispatches) and transfer.last.channel == "letter"
        command = ReissueLetter(
            transfer=transfer.id,
            letter=self._number(transfer) if by_letter else None,
            valid_days=self._valid(),
            basis="支部证明和本人申请",
        )
        self._write(node, transfer, command)
        return command

    def lose(self, _: Any, transfer: Transfer | None) -> Command | None:
        return transfer and ReportLetterLost(transfer=transfer.id, reason="途中遗失")

    def expire(self, _: Any, transfer: Transfer | None) -> Command | None:
        return transfer and ExpireTransfer(transfer=transfer.id, dispatch=self._dispatch(transfer))

    def record_slip(self, node: Any, transfer: Transfer | None) -> Command | None:
        today = self._desk.today(node)
        said = {"admitted_on": today, "returned_on": today, **HANDLED}
        return transfer and RecordSlip.model_validate({"transfer": transfer.id, **said})

    def admit(self, node: Any, transfer: Transfer | None) -> Command | None:
        return transfer and AdmitTransfer(
            transfer=transfer.id,
            dispatch=self._dispatch(transfer),
            branch="新区第一党支部",
            admitted_on=self._desk.today(node),
        )

    def admit_by_letter(self, node: Any, _: Transfer | None) -> Command | None:
        mine = [letter for letter in self.letters if letter.to == node.settings.code]
        if not mine:
            return None
        letter = self._rng.choice(mine)
        said = {"branch": "新区第一党支部", "admitted_on": self._desk.today(node)}
        return AdmitByLetter(transfer=letter.transfer, **letter.said, **said)

    def refuse(self, _: Any, transfer: Transfer | None) -> Command | None:
        return transfer and RefuseTransfer(
            transfer=transfer.id,
            dispatch=self._dispatch(transfer),
            reason_code="file_incomplete",
            reason="档案不全",
        )

    def return_slip(self, _: Any, transfer: Transfer | None) -> Command | None:
        return transfer and ReturnSlip.model_validate({"transfer": transfer.id, **HANDLED})

    def _dispatch(self, transfer: Transfer) -> int:
        if self._rng.random() < 0.9 and transfer.dispatches:
            return transfer.last.number
        return self._rng.randint(1, 2)

    def _number(self, transfer: Transfer) -> str:
        return f"第{len(transfer.dispatches) + 1}号"

    def _valid(self) -> int:
        return self._rng.choice((1, 30, 30, 60))

    def _write(self, node: Any, transfer: Transfer, command: Any) -> None:
        """What the letter says, for when it is found to be recorded."""
        number = self._desk.numbers.get(transfer.subject)
        if command.letter is None or transfer.to is None or number is None:
            return
        said = {
            "dispatch": len(transfer.dispatches) + 1,
            "origin": node.settings.code,
            "person": transfer.subject,
            "sent_on": self._desk.today(node),
            "until": node.clock() + timedelta(days=command.valid_days),
            "number": number,
        }
        self._written[id(command)] = Letter(transfer.id, transfer.to, said)


def _at_the_origin(transfer: Transfer) -> Kinds:
    """What the origin would do next."""
    if transfer.state in OVER:
        return _BEGINNING
    if transfer.state in UNDECIDED:
        return _DECIDING
    if transfer.state is State.SENT:
        return _SENT if transfer.to else _SENT_ON_PAPER
    return _ORIGIN[transfer.state]


_T = Transferring
_BEGINNING: Kinds = {_T.request: 6, _T.admit_by_letter: 3, _T.wait: 1}
_ELSEWHERE: Kinds = {_T.wait: 12, _T.admit_by_letter: 3, _T.request: 1}
_DECIDING: Kinds = {_T.approve: 16, _T.reject: 1, _T.withdraw: 1}
_SENT: Kinds = {_T.wait: 16, _T.withdraw: 1, _T.lose: 1, _T.expire: 1}
_SENT_ON_PAPER: Kinds = {_T.record_slip: 8, _T.withdraw: 1, _T.lose: 1, _T.expire: 1}
_ORIGIN: dict[State, Kinds] = {
    State.APPROVED: {_T.send: 14, _T.withdraw: 1},
    State.EXPIRED: {_T.reissue: 6, _T.withdraw: 1, _T.wait: 1},
    State.LOST: {_T.reissue: 6, _T.withdraw: 1, _T.wait: 1},
    State.DISPUTED: {_T.send: 6, _T.withdraw: 1, _T.wait: 1},
    State.ADMITTED: {_T.wait: 8, _T.withdraw: 1, _T.expire: 1},
}
_RECEIVING: dict[State, Kinds] = {
    State.SENT: {_T.admit: 12, _T.refuse: 2, _T.return_slip: 6, _T.admit_by_letter: 1},
    State.ADMITTED: {_T.return_slip: 12, _T.admit: 1},
}
_ANYTHING: Kinds = dict.fromkeys(
    (
        *_BEGINNING,
        *_DECIDING,
        *_SENT,
        *_SENT_ON_PAPER,
        _T.send,
        _T.reissue,
        _T.admit,
        _T.refuse,
        _T.return_slip,
    ),
    1,
)
