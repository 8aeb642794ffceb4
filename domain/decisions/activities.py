"""活动: decisions about activities and who came to them."""

from __future__ import annotations

from domain.activity import Activity
from domain.aggregate import current as stamp
from domain.attendance import Attendance
from domain.commands import CancelActivity, CorrectAttendance, HoldActivity, MarkAttendance
from domain.decisions.contacts import with_access
from domain.decisions.table import Decision, decide
from domain.ledger import Ledger
from domain.outflow import Outflow


@decide.register
def _(command: HoldActivity, ledger: Ledger) -> Decision:  # noqa: ARG001
    return (Activity.hold(stamp.get().new_id("activity"), **dict(command)),)


@decide.register
def _(command: CancelActivity, ledger: Ledger) -> Decision:
    activity = ledger.open(Activity, command.activity)
    activity.cancel(command.reason)
    return (activity,)


@decide.register
def _(command: MarkAttendance, ledger: Ledger) -> Decision:
    activity = ledger.open(Activity, command.activity)
    activity.must_stand()
    outflow = ledger.look_up(Outflow, command.outflow)
    hearers = with_access(ledger, outflow, activity.held_on)
    id_ = Attendance.id_of(activity.id, outflow.id)
    known = ledger.find(Attendance, id_)
    attendance = known.private_copy() if known else Attendance.begin(id_, outflow.person)
    attendance.put(
        command.mark,
        activity=activity.id,
        outflow=outflow.id,
        on=activity.held_on,
        share_with=hearers,
    )
    activity.share(hearers)
    return attendance, activity


@decide.register
def _(command: CorrectAttendance, ledger: Ledger) -> Decision:
    activity = ledger.look_up(Activity, command.activity)
    attendance = ledger.open(Attendance, Attendance.id_of(activity.id, command.outflow))
    attendance.correct(command.mark, command.reason, activity.id, activity.held_on)
    return (attendance,)
