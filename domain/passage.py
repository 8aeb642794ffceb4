"""转接状态: the words a transfer is described in, with the step that each state allows."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

from domain.aggregate import Aggregate
from domain.errors import Invalid, Refusal
from domain.values import Digest, OrgCode

Level = Literal["branch", "committee", "department"]
"""党支部 · 基层党委 · 组织部门: by whom a transfer is approved, each once and in this order."""

Channel = Literal["online", "letter"]
"""网上转接 · 介绍信."""

TRANSFERS_MAX = 100
"""Of one file; a transfer's id follows from the file and how many there were."""

LETTER_VALID_MAX_DAYS = 90
"""For which a letter, or an offer of a transfer online, is valid at most."""


class State(StrEnum):
    """转接状态, without the receiver's answer, which stands on the receiver's own stream."""

    REQUESTED = "申请"
    APPROVING = "审批中"
    APPROVED = "待转出"
    SENT = "在途"
    EXPIRED = "超期"
    LOST = "介绍信遗失"
    DISPUTED = "争议"
    ADMITTED = "已接收"
    COMPLETED = "办结"
    REJECTED = "退回"
    WITHDRAWN = "撤销"


OVER = frozenset({State.COMPLETED, State.REJECTED, State.WITHDRAWN})
UNDECIDED = frozenset({State.REQUESTED, State.APPROVING})
UNADMITTED = frozenset(State) - OVER - {State.ADMITTED}


class Dispatch(NamedTuple):
    """寄发: the n-th letter, or its equal online; void as soon as another follows or it is over."""

    number: int
    channel: Channel
    letter: str | None
    sent_on: date
    until: datetime


class TransferNotThere(Refusal):
    """该转接不在可以办理此事的阶段。The transfer is not at the stage for this."""

    mend = "请查看转接的当前状态。Look at its present state."


class TransferOpen(Refusal):
    """该党员已有未办结的组织关系转接。A transfer of the member is under way already."""

    mend = "请先办结或撤销原转接。Complete or withdraw that transfer first."


class TooManyTransfers(Refusal):
    """该档案的转接次数过多。The file has seen too many transfers."""

    mend = "请核实是否重复申请。Check whether it was requested over and over."


class TargetUnclear(Invalid):
    """须写明接收组织：代码或名称，二者取一。Name the receiver by code or by name, not by both."""

    mend = (
        "对方有节点的填 to，没有节点的填 to_name。"
        "Give to for an organization with a node, to_name for one without."
    )


class TargetIsOrigin(Invalid):
    """不能转接到本组织。A member is not transferred to the organization that holds him."""


class NotThisLevel(Refusal):
    """尚未轮到该级审批。It is not this level's turn to approve."""

    mend = "请按 next 所示的层级审批。Let the level under next approve."


class SamePersonApproves(Refusal):
    """同一人不能审批两级。The same person does not approve at two levels."""

    mend = "请由该级的另一名经办人审批。Let another officer approve at this level."


class LetterNumberMissing(Invalid):
    """介绍信须有编号。A letter has a number."""


class NoLetter(Invalid):
    """网上转接没有介绍信。A transfer online has no letter."""


class LetterNumberUsed(Invalid):
    """该介绍信编号已用过。That letter number has been used."""

    mend = "请使用新的编号，旧编号已作废。Give a new number; the old one is void."


class OnlyByLetter(Invalid):
    """接收组织没有节点，只能使用介绍信。An organization without a node is sent a letter."""


class LetterNotDue(Refusal):
    """介绍信尚未到期。The letter is still valid."""


class SlipFromPeer(Refusal):
    """回执由对方节点返回。The receiver's own node returns the slip."""

    mend = "请等待对方返回回执。Wait for the receiver to return it."


class AdmittedOutsideValidity(Invalid):
    """接收日期不在介绍信有效期内。The admission does not lie within the letter's validity."""

    mend = "请核对日期；如已超期，请重新开具。Check the date; if it had expired, reissue it."


class SlipBeforeAdmission(Invalid):
    """回执日期早于接收日期。The slip is dated before the admission."""


class Passage(Aggregate):
    """The state of one transfer, as its facts leave it."""

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.member = id
        self.to: OrgCode | None = None
        self.to_name: str | None = None
        self.levels: tuple[Level, ...] = ()
        self.approvers: tuple[str, ...] = ()
        self.state = State.REQUESTED
        self.dispatches: tuple[Dispatch, ...] = ()
        self.admission: Digest | None = None
        self.admitted_on = date.min
        self.voided_admissions: tuple[Digest, ...] = ()
        self.forwarded: frozenset[tuple[UUID, int]] = frozenset()

    @staticmethod
    def id_of(member: UUID, number: int) -> UUID:
        """The n-th transfer of a file; twice the same collides instead of doubling."""
        return uuid5(member, f"transfer:{number}")

    @property
    def next_level(self) -> Level | None:
        """Which level is to approve next."""
        done = len(self.approvers)
        return self.levels[done] if done < len(self.levels) else None

    @property
    def last(self) -> Dispatch:
        """The newest dispatch; there is one in every state from 在途 on."""
        return self.dispatches[-1]

    def dispatch(self, sent: Any, channel: Channel) -> None:
        """It is on its way, again or for the first time."""
        day = sent.meta.occurred.on
        self.dispatches += (Dispatch(sent.dispatch, channel, sent.letter, day, sent.until),)
        self.state = State.SENT

    def awaits(self, dispatch: int) -> bool:
        """Whether an answer to that dispatch still counts."""
        return self.state is State.SENT and self.last.number == dispatch

    def must_be(self, *states: State) -> None:
        if self.state not in states:
            raise TransferNotThere(transfer=self.id, state=self.state)
