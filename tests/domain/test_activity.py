"""活动与考勤: what is held, who came, and how a mark is put right."""

from __future__ import annotations

from datetime import date, timedelta

from domain.activity import Activity, ActivityCancelled
from domain.aggregate import InTheFuture
from domain.attendance import AlreadyMarked, Attendance
from domain.commands import CancelActivity, CorrectAttendance, HoldActivity, MarkAttendance
from domain.decisions.contacts import NotInOurCare
from domain.errors import NothingChanged
from domain.ledger import NotFound, NotOurs
from domain.outflow import Outflow
from domain.values import FactId
from tests.support.people import APRIL, AWAY, ZHANG, away
from tests.support.story import CHENGDU, NOW, ORIGIN, TODAY, Story, fact, name

MAY = date(2025, 5, 1)
DAY = name("day")
MARK = Attendance.id_of(DAY, AWAY)
HELD = fact(Activity.Held, kind="theme_day", title="主题党日")
MARKED = fact(Attendance.Marked, activity=DAY, outflow=AWAY, mark="present")
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW)
CONFIRMED = fact(Outflow.Confirmed, offer=1, host=CHENGDU, since=APRIL, acceptance="a" * 64)


def held(story: Story, on: date = MAY, *, by: str | None = None) -> None:
    story.given(DAY, HELD, on=on, by=by)


def staying(host: Story) -> None:
    away(host, OFFERED, CONFIRMED, by=ORIGIN, heard_by=(CHENGDU,))


def test_an_activity_is_held(host: Story) -> None:
    host.when(HoldActivity(on=MAY, title="主题党日", place="活动室")).then(
        fact(Activity.Held, kind="theme_day", title="主题党日", place="活动室")
    )

    assert host.told[0].meta.occurred.on == MAY


def test_nothing_is_held_tomorrow(host: Story) -> None:
    tomorrow = TODAY + timedelta(days=1)

    host.when(HoldActivity(on=tomorrow, title="主题党日")).then_refused(InTheFuture)


def test_an_activity_is_cancelled_once(host: Story) -> None:
    held(host)

    host.when(CancelActivity(activity=DAY, reason="误录")).then(
        fact(Activity.Cancelled, reason="误录")
    )
    host.when(CancelActivity(activity=DAY, reason="再次")).then_refused(
        ActivityCancelled, activity=DAY
    )


def test_a_member_is_marked_and_the_origin_hears_of_both(host: Story) -> None:
    staying(host)
    held(host)

    host.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then(
        MARKED, fact(Activity.Shared)
    )

    assert [told.meta.audience for told in host.told] == [(ORIGIN,), (ORIGIN,)]
    assert (host.told[0].meta.occurred.on, host.told[0].meta.subject) == (MAY, ZHANG)


def test_the_second_mark_shares_nothing_anew(host: Story) -> None:
    staying(host)
    host.given(DAY, HELD, fact(Activity.Shared), on=MAY, heard_by=(ORIGIN,))

    host.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then(MARKED)


def test_at_the_origins_own_activity_the_host_hears_of_both(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED)
    held(origin)

    origin.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then(
        MARKED, fact(Activity.Shared)
    )

    assert [told.meta.audience for told in origin.told] == [(CHENGDU,), (CHENGDU,)]


def test_a_member_is_marked_once(host: Story) -> None:
    staying(host)
    held(host)
    host.given(MARK, MARKED, about=ZHANG)

    host.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="late")).then_refused(
        AlreadyMarked, mark="present"
    )


def test_nobody_comes_to_what_was_cancelled(host: Story) -> None:
    staying(host)
    host.given(DAY, HELD, fact(Activity.Cancelled, reason="误录"), on=MAY)

    host.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then_refused(
        ActivityCancelled
    )


def test_a_member_is_marked_where_he_was_in_care(host: Story) -> None:
    staying(host)
    held(host, on=date(2025, 3, 15))

    host.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then_refused(
        NotInOurCare, on="2025-03-15"
    )


def test_the_organizer_marks(origin: Story) -> None:
    away(origin)
    held(origin, by=CHENGDU)

    origin.when(MarkAttendance(activity=DAY, outflow=AWAY, mark="present")).then_refused(
        NotOurs, kind="activity", keeper=CHENGDU
    )


def test_a_wrong_mark_is_corrected_by_a_new_fact(host: Story) -> None:
    held(host)
    host.given(MARK, MARKED, about=ZHANG)

    host.when(CorrectAttendance(activity=DAY, outflow=AWAY, mark="sick", reason="补交请假条")).then(
        fact(Attendance.Corrected, activity=DAY, outflow=AWAY, mark="sick", reason="补交请假条")
    )

    assert host.told[0].meta.corrects == FactId(stream=MARK, version=1)
    assert host.said(host.ledger.facts(MARK)[0]) == MARKED


def test_a_correction_changes_the_mark(host: Story) -> None:
    held(host)
    host.given(MARK, MARKED, about=ZHANG)

    host.when(
        CorrectAttendance(activity=DAY, outflow=AWAY, mark="present", reason="无")
    ).then_refused(NothingChanged, mark="present")


def test_there_is_no_correction_without_a_mark(host: Story) -> None:
    held(host)

    host.when(
        CorrectAttendance(activity=DAY, outflow=AWAY, mark="present", reason="无")
    ).then_refused(NotFound, kind="attendance")
