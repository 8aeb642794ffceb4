"""探针自卫: whatever the node under test does to its probe, the visit ends and says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from api.partner.counter import ANSWERS_MAX, FAULTS_MAX, RECEIPT_BYTES, Counter, listen, serving
from api.partner.lane import Lane
from api.partner.probe import Probe
from api.partner.report import Failed
from domain.values import utc_now
from sync.card import make_card, read_card
from sync.envelope import NO_ROOT, NUMBER_MAX, LaneReceipt, sign
from sync.keys import NodeKeys
from sync.signed_http import Signer, authorities

NODE = "tianshui"
KEYS = NodeKeys.generate()


class Visited:
    """A probe's counter, and the node under test that comes to it."""

    def __init__(self, counter: Counter, url: str) -> None:
        self.counter, self.url = counter, url
        self.lane = Lane(Probe(url, NODE, counter.code), counter)
        counter.heartbeat = self.lane.heartbeat
        self.http = httpx.Client(verify=authorities(), trust_env=False, timeout=10)

    def pull(self, query: str, org: str = NODE) -> int:
        url = f"{self.url}/lanes/{org}?{query}"
        headers = Signer(NODE, KEYS, utc_now).headers("GET", url)
        return self.http.get(url, headers=headers).status_code

    def hand_in(self, wire: bytes) -> int:
        url = f"{self.url}/lanes/receipts"
        headers = Signer(NODE, KEYS, utc_now).headers("POST", url, wire)
        return self.http.post(url, content=wire, headers=headers).status_code

    def receipt(self, number: int = 0, root: str = NO_ROOT, receiver: str = "") -> LaneReceipt:
        to = receiver or self.counter.code
        return LaneReceipt(sender=NODE, receiver=to, number=number, root=root, at=utc_now())


@contextmanager
def visited() -> Iterator[Visited]:
    node = read_card(make_card(KEYS, NODE, "天水", "http://tianshui.example", utc_now()))
    with closing(listen("127.0.0.1:0")) as at:
        counter = Counter("probe-0123", node)
        with serving(counter, at):
            made = Visited(counter, f"http://127.0.0.1:{at.getsockname()[1]}")
            with closing(made.http):
                yield made


@pytest.fixture(scope="module")
def counter() -> Iterator[Visited]:
    with visited() as made:
        yield made


def test_a_pull_as_agreed_is_answered(counter: Visited) -> None:
    assert counter.pull("of=probe-0123&after=0&wait=0") == 200
    assert counter.counter.faults == []


@pytest.mark.parametrize(
    "query",
    [
        "of=probe-0123&after=-1",
        f"of=probe-0123&after={NUMBER_MAX}",
        "of=probe-0123&after=x",
        "of=probe-0123&after=0&wait=nan",
        "of=probe-0123&after=0&wait=-1",
        "of=another&after=0",
        "of=probe-0123",
        "after=0",
    ],
)
def test_a_pull_that_asks_for_nonsense_is_refused_and_counted(counter: Visited, query: str) -> None:
    counter.counter.faults.clear()

    assert counter.pull(query) == 403
    assert len(counter.counter.faults) == 1


def test_the_lane_of_another_is_not_given(counter: Visited) -> None:
    assert counter.pull("of=probe-0123&after=0", org="another") == 403


def test_what_the_node_did_not_sign_is_refused(counter: Visited) -> None:
    forged = counter.receipt().signed(NodeKeys.generate())

    assert counter.hand_in(forged) == 403
    assert counter.hand_in(counter.receipt(receiver="another").signed(KEYS)) == 403
    assert counter.hand_in(b"hello") == 403
    assert counter.counter.receipts == []


def test_a_receipt_too_large_is_refused(counter: Visited) -> None:
    body = counter.receipt().model_dump_json()[:-1] + f',"pad":"{"x" * RECEIPT_BYTES}"}}'

    assert counter.hand_in(sign(LaneReceipt.KIND, NODE, body.encode(), KEYS)) == 403
    assert counter.counter.receipts == []


def test_the_faults_told_have_a_bound() -> None:
    with visited() as made:
        for _ in range(FAULTS_MAX + 5):
            made.http.get(f"{made.url}/lanes/{NODE}")

        assert len(made.counter.faults) == FAULTS_MAX


def test_the_answers_kept_have_a_bound() -> None:
    with visited() as made:
        made.counter.receipts += [made.receipt()] * ANSWERS_MAX

        assert made.hand_in(made.receipt().signed(KEYS)) == 503
        assert len(made.counter.receipts) == ANSWERS_MAX


def test_a_number_out_of_this_world_is_not_followed() -> None:
    with visited() as made:
        assert made.hand_in(made.receipt(NUMBER_MAX, "1" * 64).signed(KEYS)) == 204

        made.lane.adopt(None)
        with pytest.raises(Failed, match="not ours"):
            made.lane.acknowledged(made.lane.batch(made.lane.next("x")), None)

        assert made.lane.number == 0


@pytest.mark.parametrize("address", ["1.2.3.4", "127.0.0.1:-1", "127.0.0.1:70000", "x y:1", ""])
def test_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(Exception, match="不能在这个地址上应答"):
        listen(address)
