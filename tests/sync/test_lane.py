"""通道进度: when a peer is sent to, when again, and what its answers move."""

from __future__ import annotations

import pytest

from sync.lane import (
    ANSWERS_MAX,
    HEARTBEAT_S,
    RESEND_FIRST_S,
    RESEND_MAX_S,
    REWIND_S,
    TROUBLE_MAX_S,
    WINDOW,
    Backoff,
    Lane,
)


@pytest.fixture
def lane() -> Lane:
    """Ten batches of one entry wait for a peer that has nothing."""
    return Lane("chengdu", head=10)


def send_all(lane: Lane, now: float = 0.0) -> list[int]:
    """Send as much as may go; the numbers sent."""
    numbers = []
    while lane.cursor < lane.head and lane.may_send(now):
        lane.sent(lane.cursor, lane.cursor + 1, now)
        numbers.append(lane.cursor)
    return numbers


def test_one_batch_goes_before_the_peer_has_answered(lane: Lane) -> None:
    assert send_all(lane) == [1]


def test_a_window_goes_once_it_has(lane: Lane) -> None:
    send_all(lane)
    lane.receipt(1, 0.1)

    assert send_all(lane) == list(range(2, 2 + WINDOW))


def test_silence_sends_all_again_one_batch_first(lane: Lane) -> None:
    send_all(lane)
    lane.receipt(1, 0.0)
    send_all(lane)

    assert not lane.overdue(RESEND_FIRST_S * 0.7)
    assert lane.overdue(RESEND_FIRST_S)
    assert send_all(lane, RESEND_FIRST_S) == [2]


def test_silence_is_waited_for_longer_each_time_but_not_for_ever(lane: Lane) -> None:
    now, waits = 0.0, []
    for _ in range(8):
        send_all(lane, now)
        waits.append(lane.due(now))
        now += waits[-1] + 0.001
        assert lane.overdue(now)

    assert waits[0] <= RESEND_FIRST_S < waits[2] < waits[7] <= RESEND_MAX_S


def test_a_receipt_that_was_overtaken_changes_nothing(lane: Lane) -> None:
    send_all(lane)
    lane.receipt(5, 0.0)
    lane.receipt(3, 0.0)

    assert (lane.confirmed, lane.cursor) == (5, 5)


def test_a_want_may_go_behind_what_was_confirmed(lane: Lane) -> None:
    send_all(lane)
    lane.receipt(8, 0.0)
    lane.want(2, 10.0)

    assert send_all(lane, 10.0) == [3]


def test_the_wants_that_one_loss_causes_are_followed_once(lane: Lane) -> None:
    lane.receipt(4, 0.0)
    lane.want(2, 10.0)
    send_all(lane, 10.0)
    lane.want(2, 10.0 + REWIND_S / 2)

    assert lane.cursor == 3
    lane.want(2, 10.0 + REWIND_S)
    assert lane.cursor == 2


def test_a_batch_that_a_rewind_has_overtaken_moves_nothing(lane: Lane) -> None:
    lane.receipt(4, 0.0)
    after = lane.cursor
    lane.want(2, 0.0)
    lane.sent(after, after + 1, 0.0)

    assert lane.cursor == 2


def test_a_failure_waits_and_starts_over(lane: Lane) -> None:
    lane.receipt(2, 0.0)
    send_all(lane)
    lane.failed("the broker said no", 0.0)

    assert not lane.may_send(0.0)
    assert lane.next_answer(0.0) is None
    assert 0 < lane.due(0.0) <= TROUBLE_MAX_S
    assert send_all(lane, TROUBLE_MAX_S) == [3]
    lane.delivered()
    assert lane.trouble.failures == 0


def test_a_lane_without_news_has_a_heartbeat() -> None:
    lane = Lane("chengdu", confirmed=7, head=7)

    assert lane.may_send(0.0)
    lane.sent(7, 7, 0.0)
    assert not lane.may_send(HEARTBEAT_S - 1)
    assert lane.due(0.0) == HEARTBEAT_S
    assert lane.may_send(HEARTBEAT_S)


def test_entering_a_topic_starts_over_at_once(lane: Lane) -> None:
    send_all(lane)
    lane.entered()

    assert send_all(lane, 0.1) == [1]


def test_of_plain_receipts_in_a_row_the_newest_goes(lane: Lane) -> None:
    for wire, plain in ((b"1", True), (b"2", True), (b"no", False), (b"3", True)):
        lane.answer(wire, plain=plain)

    assert [lane.next_answer(0.0) for _ in range(4)] == [b"2", b"no", b"3", None]


def test_answers_do_not_pile_up(lane: Lane) -> None:
    for number in range(ANSWERS_MAX + 5):
        lane.answer(b"%d" % number, plain=False)

    assert lane.next_answer(0.0) == b"5"


def test_a_backoff_grows_to_its_bound() -> None:
    backoff = Backoff(1.0, 8.0)
    waits = []
    for _ in range(40):
        backoff.fail(0.0)
        waits.append(backoff.until)

    assert waits[0] <= 1.0 < waits[2] <= 4.0
    assert all(6.0 <= wait <= 8.0 for wait in waits[4:])
