"""转入: the receiver's answers to one transfer, with the receipt slip; kept by the receiver."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid, Refusal
from domain.sealing import Contactable
from domain.values import Digest, DispatchNumber, OrgCode, Text

Ground = Literal["not_here", "wrong_person", "letter_invalid", "file_incomplete", "other"]
"""不在本地 · 人员不符 · 介绍信无效 · 档案材料不全 · 其他; no refusal without one."""


class DispatchAnswered(Refusal):
    """该次转接已经答复。That dispatch is answered already."""

    mend = "无需重复办理。There is nothing to do: it was admitted or refused before."


class NotAdmitted(Refusal):
    """尚未接收该党员的组织关系。The member is not admitted."""

    mend = "请先办理接收，再返回回执。Admit the member first, then return the slip."


class SlipReturnedAlready(Refusal):
    """回执已经返回。The slip is returned already."""


class SlipTooEarly(Invalid):
    """回执日期早于接收日期。The slip would be dated before the admission."""


class Admission(Aggregate):
    """One transfer as its receiver answers it; each dispatch once."""

    class Admitted(Fact):
        """接收组织关系: into which branch; it counts when the origin notes it."""

        TOPIC: ClassVar[str] = "admission.admitted"
        transfer: UUID
        dispatch: DispatchNumber
        branch: Text
        admitted_on: date

        def apply(self, admission: Admission) -> None:
            admission.answered += (self.dispatch,)
            admission.admitted, admission.admitted_on = self.dispatch, self.admitted_on
            admission.branch = self.branch

    class Refused(Fact):
        """不予接收."""

        TOPIC: ClassVar[str] = "admission.refused"
        transfer: UUID
        dispatch: DispatchNumber
        reason_code: Ground
        reason: Text

        def apply(self, admission: Admission) -> None:
            admission.answered += (self.dispatch,)

    class SlipReturned(Fact):
        """返回回执: between the two base-level committees, not layer by layer."""

        TOPIC: ClassVar[str] = "admission.slip_returned"
        transfer: UUID
        dispatch: DispatchNumber
        returned_on: date
        handler: Text
        phone: Contactable

        def apply(self, admission: Admission) -> None:
            admission.slips += (self.dispatch,)

    class Filed(Fact):
        """转入建档: the member's file goes on here, and what happened before may be handed on."""

        TOPIC: ClassVar[str] = "admission.filed"
        transfer: UUID
        file: UUID
        last: Digest

        def apply(self, admission: Admission) -> None:
            admission.file = self.file

    class PassedOn(Fact):
        """续转: the file has gone on from here; who keeps what came before hands it on as well."""

        TOPIC: ClassVar[str] = "admission.passed_on"
        transfer: UUID
        to: OrgCode

        def apply(self, admission: Admission) -> None:
            admission.passed_on |= {self.to}

    class Traced(Fact):
        """溯源: an earlier file is held here too, and is the one that the next goes on from."""

        TOPIC: ClassVar[str] = "admission.traced"
        transfer: UUID
        file: UUID
        last: Digest

        def apply(self, admission: Admission) -> None:
            admission.traced |= {self.file}

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.answered: tuple[int, ...] = ()
        self.slips: tuple[int, ...] = ()
        self.admitted: int | None = None
        self.admitted_on = date.min
        self.file: UUID | None = None
        self.branch = ""
        self.passed_on: frozenset[OrgCode] = frozenset()
        self.traced: frozenset[UUID] = frozenset()

    @staticmethod
    def id_of(transfer: UUID, receiver: OrgCode) -> UUID:
        """One stream for a transfer at its receiver: answering twice collides."""
        return uuid5(transfer, f"admission:{receiver}")

    def admit(self, origin: OrgCode, dispatch: int, *, admitted_on: date, **said: Any) -> None:
        """Take the affiliation in."""
        self._must_be_unanswered(dispatch)
        self.trigger(
            self.Admitted,
            on=admitted_on,
            share_with=(origin,),
            dispatch=dispatch,
            admitted_on=admitted_on,
            **said,
        )

    def refuse(self, origin: OrgCode, dispatch: int, **said: Any) -> None:
        """Say no, with a reason; it becomes a dispute."""
        self._must_be_unanswered(dispatch)
        self.trigger(self.Refused, share_with=(origin,), dispatch=dispatch, **said)

    def return_slip(self, transfer: UUID, returned_on: date, **handled: Any) -> None:
        """Return the slip of the admission that counts."""
        if self.admitted is None:
            raise NotAdmitted(transfer=transfer)
        if self.admitted in self.slips:
            raise SlipReturnedAlready(transfer=transfer)
        if returned_on < self.admitted_on:
            raise SlipTooEarly(admitted_on=self.admitted_on.isoformat())
        self.trigger(
            self.SlipReturned,
            on=returned_on,
            transfer=transfer,
            dispatch=self.admitted,
            returned_on=returned_on,
            **handled,
        )

    def note_file(self, transfer: UUID, file: UUID, last: str, hosts: tuple[OrgCode, ...]) -> None:
        """Tell the origin, and whoever had the care there, that the file goes on here."""
        self.trigger(self.Filed, share_with=hosts, transfer=transfer, file=file, last=last)

    def pass_on(self, transfer: UUID, to: OrgCode, told: tuple[OrgCode, ...]) -> None:
        """Tell whom the file came from to whom it has gone; the later keeper hears it as well."""
        if to not in self.passed_on:
            self.trigger(self.PassedOn, share_with=told, transfer=transfer, to=to)

    def trace(self, transfer: UUID, file: UUID, last: str, told: tuple[OrgCode, ...]) -> None:
        """Tell those who had to do with an earlier file that it is known here, and is the one."""
        if file not in self.traced:
            self.trigger(self.Traced, share_with=told, transfer=transfer, file=file, last=last)

    def _must_be_unanswered(self, dispatch: int) -> None:
        if dispatch in self.answered:
            raise DispatchAnswered(admission=self.id, dispatch=dispatch)
