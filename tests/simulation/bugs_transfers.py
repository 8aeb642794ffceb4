"""故意埋下的错误·转接: bugs in how an affiliation passes, and in how history follows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

import api.node
from domain import custodian, reception
from domain.aggregate import current
from domain.decisions import admissions, transfers
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import State
from domain.transfer import Transfer
from projections.affiliations import Affiliations
from sync import affiliation
from tests.support.memory import following

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def released_and_forgotten(patch: Patch) -> None:
    """Who is released to a node is filed by nobody."""
    answer = custodian.answer

    def answering(entry: Any, ledger: Any) -> Any:
        return None if isinstance(entry.fact, Member.Released) else answer(entry, ledger)

    patch.setattr(custodian, "answer", answering)
    patch.setattr(following, "_released", lambda *_: iter(()))


def filed_twice(patch: Patch) -> None:
    """A file that goes on here is opened a second time."""
    files_of = admissions.files_of
    patch.setattr(admissions, "files_of", lambda *said: ([], files_of(*said)[1]))


def admitted_whenever(patch: Patch) -> None:
    """An admission counts, whatever has become of its dispatch."""

    def noting(transfer: Transfer, dispatch: int, admitted_on: date, admission: str) -> None:
        if admission != transfer.admission:
            said = {"dispatch": dispatch, "admitted_on": admitted_on, "admission": admission}
            transfer.trigger(Transfer.Admitted, **said)

    patch.setattr(reception, "note_admission", noting)


def admission_answered_twice(patch: Patch) -> None:
    """The same admission, looked at again, is answered again."""
    note = reception.note_admission

    def noting(transfer: Transfer, dispatch: int, *said: Any) -> None:
        transfer.voided_admissions, transfer.admission = (), None
        note(transfer, dispatch, *said)

    patch.setattr(reception, "note_admission", noting)


def completed_whenever(patch: Patch) -> None:
    """A slip completes a transfer that was withdrawn before."""

    def completing(transfer: Transfer, dispatch: int, returned_on: date, slip: str) -> bool:
        if transfer.state is State.COMPLETED:
            return False
        days = {"admitted_on": transfer.admitted_on, "returned_on": returned_on}
        transfer.trigger(Transfer.Completed, dispatch=dispatch, slip=slip, **days)
        return True

    patch.setattr(reception, "complete", completing)


def expired_under_an_admission(patch: Patch) -> None:
    """A letter expires although its bearer is admitted."""

    def expiring(transfer: Transfer, dispatch: int) -> None:
        transfer.must_be(State.SENT, State.ADMITTED)
        if current.get().now >= transfer.last.until:
            transfer.trigger(Transfer.Expired, dispatch=dispatch)

    patch.setattr(Transfer, "expire", expiring)


def withdrawn_under_an_admission(patch: Patch) -> None:
    """A transfer is taken back although its bearer is admitted."""

    def withdrawing(transfer: Transfer, reason: str) -> None:
        transfer.trigger(Transfer.Withdrawn, reason=reason)

    patch.setattr(Transfer, "withdraw", withdrawing)


def approved_whenever(patch: Patch) -> None:
    """A level approves out of its turn."""

    def approving(transfer: Transfer, level: Any, note: Any) -> None:
        transfer.trigger(Transfer.Approved, level=level, note=note)

    patch.setattr(Transfer, "approve", approving)


def refused_unnoticed(patch: Patch) -> None:
    """The receiver says no, and the origin goes on waiting."""
    patch.setattr(reception, "note_refusal", lambda *_: None)


def the_absence_stays_open(patch: Patch) -> None:
    """Who is transferred to where he lives is still away."""
    patch.setattr(Outflow, "close", lambda *_: None)


def absences_stay_behind(patch: Patch) -> None:
    """The new keeper does not hear where his member has been."""
    hand_on, close = Outflow.hand_on, Outflow.close

    def handing(outflow: Outflow, to: str, purpose: str) -> None:
        if purpose != transfers.PURPOSE:
            hand_on(outflow, to, purpose)

    patch.setattr(Outflow, "hand_on", handing)
    patch.setattr(Outflow, "close", lambda self, how, on, *_: close(self, how, on))


def history_stays_behind(patch: Patch) -> None:
    """What was recorded of an absence stays with who has recorded it."""
    patch.setattr(following, "_to_hand_on", lambda *_: [])


def late_facts_stay_behind(patch: Patch) -> None:
    """What is recorded after the file was handed on is not looked for."""
    to_hand_on = following._to_hand_on  # noqa: SLF001

    def handing_on(database: Any, org: str, peers: Any, gone: Any) -> Any:
        times = {row["stream"]: row["recorded_at"] for row in database.rows["history"].values()}
        filed = max((each.at for each in gone), default=datetime.min.replace(tzinfo=UTC))
        found = to_hand_on(database, org, peers, gone)
        return [command for command in found if times[command.record] <= filed]

    patch.setattr(following, "_to_hand_on", handing_on)


def held_after_the_release(patch: Patch) -> None:
    """The old keeper goes on with the file."""
    patch.setattr(Member, "must_be_held", lambda *_: None)


def released_before_it_is_complete(patch: Patch) -> None:
    """The release comes before what it follows from."""
    releasing = transfers._released  # noqa: SLF001
    patch.setattr(transfers, "_released", lambda *said: releasing(*said)[::-1])


def the_second_lane_is_not_awaited(patch: Patch) -> None:
    """What a later keeper says before the earlier one's release is here is set aside for good."""
    patch.setattr(api.node, "take_up", lambda *_: None)


def our_own_word_is_refused(patch: Patch) -> None:
    """A host that becomes the keeper takes nothing that was passed on of its own."""
    patch.setattr(affiliation, "_is_ours", lambda *_: False)


def shown_where_it_was(patch: Patch) -> None:
    """The board of affiliations passes a release over."""
    project = Affiliations.project

    def projecting(self: Any, fact: Any, rows: Any) -> None:
        if not isinstance(fact, Member.Released):
            project(self, fact, rows)

    patch.setattr(Affiliations, "project", projecting)


def anybodys_affiliation(patch: Patch) -> None:
    """A peer may say that we have admitted somebody."""
    patch.setattr("sync.affiliation.check", lambda *_: None)


BUGS: tuple[Plant, ...] = (
    released_and_forgotten,
    filed_twice,
    admitted_whenever,
    admission_answered_twice,
    completed_whenever,
    expired_under_an_admission,
    withdrawn_under_an_admission,
    approved_whenever,
    refused_unnoticed,
    the_absence_stays_open,
    absences_stay_behind,
    history_stays_behind,
    late_facts_stay_behind,
    held_after_the_release,
    released_before_it_is_complete,
    the_second_lane_is_not_awaited,
    our_own_word_is_refused,
    shown_where_it_was,
    anybodys_affiliation,
)
