"""拒收缘由: a refused request says why, and a clock fault is told from a forgery."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sync.errors import ClocksDiffer, Forged
from sync.refused import REASON_MAX, in_words, reason

NOW = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = timedelta(seconds=300)


def signed(created: object) -> str:
    return f'waystation=("@method" "@path");created={created};keyid="chengdu";nonce="n"'


@pytest.mark.parametrize("years", [-10, 10])
def test_a_time_beyond_the_window_is_a_fault_of_clocks_with_both_times(years: int) -> None:
    theirs = NOW.replace(year=NOW.year + years)

    fault = reason("too old", signed(int(theirs.timestamp())), NOW, WINDOW)

    assert isinstance(fault, ClocksDiffer)
    assert fault.facts == {"ours": NOW.isoformat(), "theirs": theirs.isoformat()}


@pytest.mark.parametrize(
    "created", [int(NOW.timestamp()), "", "soon", "-1", "٣", "9" * 400, "999999999999"]
)
def test_everything_else_is_a_forgery(created: object) -> None:
    fault = reason("not theirs", signed(created), NOW, WINDOW)

    assert type(fault) is Forged
    assert fault.facts == {"because": "not theirs"}


def test_what_a_peer_has_answered_is_shown() -> None:
    body = json.dumps({"title": "时钟。Clocks.", "mend": "Look.", "ours": "1", "theirs": "2"})

    assert in_words(403, body.encode()) == "时钟。Clocks. Look. [HTTP 403, ours=1, theirs=2]"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b"{}", b"\xff", b'{"title": null'])
def test_an_answer_that_is_no_problem_shows_its_status(body: bytes) -> None:
    assert in_words(502, body) == "HTTP 502"


def test_a_long_answer_is_cut() -> None:
    body = json.dumps({"title": "x" * 4000})

    assert len(in_words(403, body.encode())) == REASON_MAX
