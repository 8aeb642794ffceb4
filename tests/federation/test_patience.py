"""耐心: what a lane does by itself after a fault, and what people see and can do meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import httpx
import pytest

from api.storage.server import EmbeddedServer
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
