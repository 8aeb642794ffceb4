"""耐心: what a lane does by itself after a fault, and what people see and can do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from functools import partial
from itertools import count
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import Response

from api.storage.server import EmbeddedServer
from domain.commands import RecordVisit
from sync.envelope import ENTRIES_MAX
from sync.lane_http import Puller
from sync.retry import BACKOFF_MAX_S
from tests.api.support import Site, absent, cared_for, meet, site, until
from tests.api.test_problems import problem
from tests.federation.test_over_http import contact
from tests.support.narrow import refusing

_schemas = count(1)


class Two:
    """An origin and a station, each with its server."""

    def __init__(self, origin: Site, host: Site) -> None:
        self.origin, self.host = origin, host

    def seen(self, here: Site, there: Site) -> dict[str, object]:
        (found,) = (p for p in here.get("/peers") if p["peer"] == there.code)
        shown: dict[str, object] = found
        return shown

    def offer(self) -> str:
        _, outflow = absent(self.origin)
        self.origin.post(f"/outflows/{outflow}/offers", {"host": self.host.code})
        return outflow

    def arrived(self, outflow: str) -> bool:
        return self.host.ask(f"/outflows/{outflow}").status_code == 200


@pytest.fixture(scope="module")
def two(postgres: EmbeddedServer) -> Iterator[Two]:
    with ExitStack() as stack:
        number = next(_schemas)
        made = [
            stack.enter_context(
                site(postgres.url, f"patience_{number}_{code}", code=code, poll_seconds=1.0)
            )
            for code in ("jiuquan", "chengdu")
        ]
        meet(*made)
        yield Two(*made)


@pytest.mark.slow
def test_silence_and_nothing_to_say_look_different(two: Two) -> None:
    until(lambda: two.seen(two.origin, two.host)["hears"] == "nothing to say 无新内容")

    until(lambda: two.seen(two.origin, two.host)["in_step_at"])


def test_an_operator_has_a_lane_tried_at_once(two: Two) -> None:
    pullers = two.origin.running.worker.pullers
    until(lambda: two.host.code in pullers)
    two.host.stop()
    state = pullers[two.host.code].state
    until(lambda: state.failures > 0)
    # As after a long outage: the next try lies a minute ahead.
    state.failures = 20
    until(lambda: state.failures > 20 and state.retry_in_s >= BACKOFF_MAX_S / 2)
    shown = two.seen(two.origin, two.host)["lane"]
    assert isinstance(shown, dict)
    assert shown["retry_at"] > shown["failing_since"]
    two.host.start()

    answer = two.origin.send(f"/peers/{two.host.code}/retry")

    assert answer.status_code == 202
    until(lambda: two.seen(two.origin, two.host)["lane"]["failures"] == 0, 5)  # type: ignore[index]
    until(lambda: two.seen(two.origin, two.host)["hears"] == "nothing to say 无新内容", 5)


def test_nobody_unknown_is_tried_again(two: Two) -> None:
    problem(two.origin.send("/peers/nobody/retry"), 404, "not-found")
    problem(two.origin.ask("/peers/nobody/refused"), 404, "not-found")


@pytest.mark.slow
def test_a_receipt_that_was_lost_is_sent_again_without_news(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []
    acknowledge = Puller._acknowledge  # noqa: SLF001 - what a dropped connection would do.

    def drop(self: Puller, receipt: bytes) -> None:
        if not lost:
            lost.append(receipt)
            self._greeted = False
            raise httpx.ConnectError("gone")
        acknowledge(self, receipt)

    pullers = two.host.running.worker.pullers
    until(lambda: two.origin.code in pullers)
    puller = pullers[two.origin.code]
    monkeypatch.setattr(puller._receipts, "_send", lambda receipt: drop(puller, receipt))  # noqa: SLF001
    outflow = two.offer()

    until(lambda: lost and two.arrived(outflow))

    def level() -> bool:
        lane = two.seen(two.origin, two.host)
        return lane["out_head"] == lane["out_acknowledged"]

    until(level)


@pytest.mark.slow
def test_facts_go_on_while_nobody_takes_receipts_and_the_debt_is_seen_and_paid(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shut(*_: object) -> None:
        raise RuntimeError("no receipts today")

    with monkeypatch.context() as outage:
        outage.setattr(two.origin.node.relay, "acknowledge", shut)
        outflow = two.offer()
        until(lambda: two.arrived(outflow))
        another = two.offer()
        until(lambda: two.arrived(another))
        lane = two.seen(two.origin, two.host)
        assert lane["out_head"] > lane["out_acknowledged"]  # type: ignore[operator]

    def level() -> bool:
        lane = two.seen(two.origin, two.host)
        return lane["out_head"] == lane["out_acknowledged"]

    until(level)


@pytest.mark.slow
def test_who_sent_what_is_set_aside_is_told_and_told_when_it_is_resolved(two: Two) -> None:
    outflow, _ = cared_for(two.origin, two.host)
    path = f"/peers/{two.host.code}/refused"
    with refusing("contact.made"):
        made = two.origin.post("/contacts", contact(outflow))

        # Nothing of that batch was recorded, and yet its receipt comes at once.
        (told,) = until(lambda: two.origin.get(path)["items"])

    assert (told["stream"], told["version"], told["code"]) == (made["id"], 1, "not-their-topic")
    assert two.seen(two.origin, two.host)["out_stopped"] == 1
    assert two.seen(two.host, two.origin)["in_stopped"] == 1
    (parked,) = two.host.get("/quarantine")
    done = two.host.http.post(f"/quarantine/{parked['id']}/retry", params={"dry_run": False})
    assert done.status_code == 200, done.text
    until(lambda: two.origin.get(path)["items"] == [])
    (resolved,) = two.origin.get(path, resolved=True)["items"]
    assert resolved["resolved_at"]


# Behind.


def _behind(two: Two, monkeypatch: pytest.MonkeyPatch, facts: int) -> list[int]:
    """The host is away while so many facts are recorded; what it asks for when it is back."""
    outflow = UUID(cared_for(two.origin, two.host)[0])
    two.host.stop()
    for _ in range(facts):
        visit = RecordVisit(outflow=outflow, on=date(2025, 6, 1), by="王干事", condition="在岗")
        two.origin.node.execute(visit)
    relay = two.origin.node.relay
    until(lambda: relay.looked_through == two.origin.node.ledger.head)
    asked = list[int]()
    packed = relay._packed  # noqa: SLF001 - whichever way it is asked.

    def note(peer: str, after: int, *found: Any) -> tuple[bytes, int]:
        wire, last = packed(peer, after, *found)
        asked.extend([after] * (last > after))
        return wire, last

    monkeypatch.setattr(relay, "_packed", note)
    two.host.start()
    number = relay.standing(two.host.code)[0].number
    until(lambda: two.host.node.lanes.standing_in(two.origin.code).number == number)
    assert asked
    return asked


def test_who_is_behind_fetches_ahead_and_asks_for_nothing_twice(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _behind(two, monkeypatch, 3 * ENTRIES_MAX + 1)

    assert asked == [asked[0] + n * ENTRIES_MAX for n in range(4)]


def answered(last: str, wire: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """An answer that says another last number."""
    return Response(wire, media_type=media_type, headers=dict.fromkeys(headers, last))


@pytest.mark.parametrize("said", ["0", "999999999", "9" * 30, "-1", "ten", "²"])
def test_a_wrong_word_about_the_next_number_harms_nothing(
    two: Two, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    with monkeypatch.context() as lying:
        lying.setattr("api.routes.lanes.Response", partial(answered, said))
        lying.setattr("sync.retry.BACKOFF_FIRST_S", 0.01)

        _behind(two, monkeypatch, 3 * ENTRIES_MAX + 1)

    pullers = two.host.running.worker.pullers
    until(lambda: pullers[two.origin.code].state.failures == 0)
