"""对端检查: a node that keeps the protocol passes every check, a broken one fails at its fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from api.partner.probe import Probe
from api.partner.report import BadReport, Opened, Report
from api.partner.run import SCRIPT, NoPeerCard, check_node
from api.storage.server import EmbeddedServer
from domain.catalogue import FACTS
from sync.card import read_card
from sync.envelope import Batch, LaneReceipt, sign
from sync.errors import Malformed, RootsDiffer
from sync.inbox import Inbox
from sync.keys import NodeKeys
from sync.signed_http import Gate
from sync.standing import Standing
from tests.api.conftest import Run, fresh
from tests.api.support import Site, free_port

Patch = pytest.MonkeyPatch
Spoil = Callable[[Patch, Site], object]


@pytest.fixture(scope="module")
def tested(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node under test, which waits less after each misdeed and sees a new peer at once."""
    with Patch.context() as patch, fresh(postgres, code="lanzhou", name="兰州") as made:
        patch.setattr("sync.retry.BACKOFF_FIRST_S", 0.02)
        patch.setattr("sync.receipts.PAUSE_S", 0.01)
        patch.setattr("api.worker.IDLE_S", 0.1)
        yield made


def checked(site: Site, **how: Any) -> bytes:
    """The report of a probe that the node enrols."""

    def introduce(card: bytes) -> None:
        site.node.enrol(read_card(card), ())

    return check_node(site.url, introduce, **how)


@pytest.fixture(scope="module")
def report(tested: Site) -> bytes:
    """Of a node that keeps the protocol."""
    return checked(tested)


def faults(wire: bytes) -> dict[str, str]:
    return {f.name: f.observed for f in Opened(wire).report.findings if f.verdict != "pass"}


def test_a_node_that_keeps_the_protocol_passes_every_check(report: bytes) -> None:
    said = Opened(report).report

    assert faults(report) == {}
    assert said.passed
    assert [f.name for f in said.findings] == [check.name for check in SCRIPT]
    assert said.counts == {"pass": len(SCRIPT), "fail": 0, "not run": 0}


def test_what_is_left_behind_is_what_the_report_says(report: bytes, tested: Site) -> None:
    said = Opened(report).report

    standing = tested.node.lanes.standing_in(said.sender)
    assert standing.number == said.entries
    units = {"unit.opened", "unit.renamed", "unit.closed", "probe.noted"}
    kept = [row for row in tested.get("/history", limit=500)["items"] if row["org"] == said.sender]
    assert {row["topic"] for row in kept} == units
    assert tested.get("/activities")["items"] == tested.get("/outflows")["items"] == []
    assert tested.get("/health")["status"] == "ok"


# Where a node is broken, the kit names that, and nothing else.


def without_memory(patch: Patch, _: Site) -> None:
    patch.setattr(Gate, "_must_be_new", lambda *_: None)


def without_a_clock(patch: Patch, site: Site) -> None:
    verifier = site.running.gate._verifier  # noqa: SLF001 - what is broken is inside.
    patch.setattr(verifier, "max_clock_skew", timedelta(days=1))


def without_signatures(patch: Patch, _: Site) -> None:
    patch.setattr("sync.envelope.verify", lambda *_: True)


def without_a_limit(patch: Patch, _: Site) -> None:
    patch.setattr("sync.envelope.BATCH_BYTES", 2**30)


def without_roots(patch: Patch, _: Site) -> None:
    patch.setattr("sync.inbox.Inbox._must_agree", lambda *_: None)


def without_strictness(patch: Patch, _: Site) -> None:
    lax = SimpleNamespace(read=lambda *_, **__: None)
    patch.setattr("sync.envelope.strict", lax)
    patch.setattr("sync.checks.strict", lax)


def without_authority(patch: Patch, _: Site) -> None:
    patch.setattr("sync.checks.authority.check_author", lambda *_: None)


def taking(change: Callable[[Inbox, Batch], Batch]) -> Spoil:
    """An inbox that does something to a batch before it looks at it."""
    take = Inbox._take  # noqa: SLF001 - as above.

    def spoil(patch: Patch, _: Site) -> None:
        def changed(inbox: Inbox, batch: Batch, *more: Any, **said: Any) -> Any:
            return take(inbox, change(inbox, batch), *more, **said)

        patch.setattr(Inbox, "_take", changed)

    return spoil


def to_whomever(inbox: Inbox, batch: Batch) -> Batch:
    return batch.model_copy(update={"receiver": inbox._ledger.org})  # noqa: SLF001


def once_only(inbox: Inbox, batch: Batch) -> Batch:
    if batch.entries and batch.first <= inbox._store.standing_in(batch.sender).number:  # noqa: SLF001
        raise RootsDiffer(peer=batch.sender)
    return batch


def known_only(_: Inbox, batch: Batch) -> Batch:
    for entry in batch.entries:
        if entry.topic not in FACTS:
            raise Malformed(topic=entry.topic)
    return batch


def of_any_age(patch: Patch, _: Site) -> None:
    accept = Inbox.accept
    patch.setattr(
        Inbox, "accept", lambda inbox, wire: accept(inbox, wire.replace(b"/v0 ", b"/v1 ", 1))
    )


def over_gaps(patch: Patch, site: Site) -> None:
    take, lanes = Inbox._take, site.node.lanes  # noqa: SLF001

    def leap(inbox: Inbox, batch: Batch, *more: Any, **said: Any) -> Any:
        if batch.first <= lanes.standing_in(batch.sender).number + 1:
            return take(inbox, batch, *more, **said)
        with Patch.context() as here:
            here.setattr(lanes, "standing_in", lambda _: Standing(batch.first - 1, batch.before))
            return take(inbox, batch, *more, **said)

    patch.setattr(Inbox, "_take", leap)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (without_a_clock, {"stale", "future"}),
        (without_signatures, {"receipt-forged", "batch-altered", "batch-forged"}),
        (without_a_limit, {"oversize", "batch-oversize"}),
        (without_roots, {"wrong-root", "rewritten"}),
        (without_strictness, {"duplicate-key", "deep", "state-duplicate-key"}),
        (without_authority, {"other-author", "private-topic"}),
        (taking(to_whomever), {"wrong-receiver"}),
        (taking(once_only), {"duplicate"}),
        (over_gaps, {"gap"}),
        (of_any_age, {"old-envelope"}),
        (
            # What is set aside must be acknowledged too, of whatever topic it is.
            taking(known_only),
            {"unknown-topic", "version-gap", "private-topic", "state-duplicate-key"},
        ),
    ],
)
def test_the_kit_names_what_is_broken_and_nothing_else(
    tested: Site, monkeypatch: Patch, spoil: Spoil, names: set[str]
) -> None:
    spoil(monkeypatch, tested)

    told = faults(checked(tested))

    assert told.keys() == names, told


@pytest.mark.slow
def test_a_node_without_memory_is_told_from_one_that_has_it(
    tested: Site, monkeypatch: Patch
) -> None:
    without_memory(monkeypatch, tested)

    assert faults(checked(tested)) == {"replay": "200"}


@pytest.mark.slow
def test_a_lane_that_stays_stuck_is_told(tested: Site, monkeypatch: Patch) -> None:
    accept, stuck = Inbox.accept, []

    def once(inbox: Inbox, wire: bytes) -> Any:
        outcome = accept(inbox, stuck[0] if stuck else wire)
        stuck.extend([wire] if outcome.fault and not stuck else [])
        return outcome

    monkeypatch.setattr(Inbox, "accept", once)
    monkeypatch.setattr("api.partner.lane.RECEIPT_S", 0.1)
    monkeypatch.setattr("api.partner.lane.ANSWER_S", 0.5)

    told = faults(checked(tested))

    assert next(iter(told)) == "gap"
    assert told["batch-altered"] == told["signed-all"] == "the lane is stuck since gap"


@pytest.mark.slow
def test_a_node_that_never_comes_is_told(tested: Site, monkeypatch: Patch) -> None:
    monkeypatch.setattr("api.partner.sending.COME_S", 1.0)

    told = faults(checked(tested, address=f"http://127.0.0.1:{free_port()}"))

    assert told["pulls"].startswith("nobody came to http://127.0.0.1:")
    assert told["gap"] == "pulls did not pass"
    assert "replay" not in told


@pytest.mark.slow
def test_a_node_that_does_not_sign_is_told(tested: Site, monkeypatch: Patch) -> None:
    monkeypatch.setattr("api.partner.sending.COME_S", 2.0)
    monkeypatch.setattr(tested.running.worker, "signer", SimpleNamespace(headers=lambda *_: {}))

    assert "Signature" in faults(checked(tested))["pulls"]


def test_what_nobody_enrols_is_tried_no_further(tested: Site, monkeypatch: Patch) -> None:
    monkeypatch.setattr("api.partner.asking.ENROL_S", 0.0)

    wire = check_node(tested.url, lambda _: None)

    told = faults(wire)
    assert told["signed"] == "403 not-enrolled"
    assert set(told.values()) == {"403 not-enrolled", "signed did not pass"}
    assert {"card", "health", "stranger"}.isdisjoint(told)
    assert Opened(wire).report.receipt is None


@pytest.mark.slow
def test_what_cannot_be_seen_has_not_passed(tested: Site, monkeypatch: Patch) -> None:
    def older(**said: Any) -> LaneReceipt:
        return LaneReceipt(**{**said, "parked": (), "stopped": None})

    monkeypatch.setattr("sync.inbox.LaneReceipt", older)
    told = faults(checked(tested))

    assert told.keys() == {
        "other-keeper",
        "other-author",
        "version-gap",
        "private-topic",
        "state-duplicate-key",
    }
    assert "its receipts are too old" in told["version-gap"]


def test_there_is_an_end(tested: Site, monkeypatch: Patch) -> None:
    monkeypatch.setattr("api.partner.run.RUN_S", 0.0)

    told = faults(checked(tested))

    assert set(told.values()) == {"the 0 s are over"}
    assert "signed" not in told


def test_what_is_no_node_is_said_to_be_none(tested: Site) -> None:
    with pytest.raises(NoPeerCard, match="422"):
        check_node(f"{tested.url}/lanes", lambda _: None)


# The report.


def test_a_report_is_checked_without_asking_anybody(
    report: bytes, run: Run, tmp_path: Path, monkeypatch: Patch
) -> None:
    file = tmp_path / "lanzhou.report"
    file.write_bytes(report)
    monkeypatch.setattr(httpx.Client, "send", None)

    said = run("check-peer", "--verify", file)

    assert said.code == 0
    assert "不通过" in said.out
    assert Opened(report).probe.fingerprint in said.out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"verdict":"pass"', b'"verdict":"fail"'),
        (b'"url":"http://127', b'"url":"http://128'),
        (b"waystation/check/v1", b"waystation/batch/v1"),
        (b'"entries":', b'"entries":1'),
    ],
)
def test_an_altered_report_is_none(
    report: bytes, run: Run, tmp_path: Path, before: bytes, after: bytes
) -> None:
    assert before in report
    file = tmp_path / "altered.report"
    file.write_bytes(report.replace(before, after, 1))

    assert "检查报告不可信" in run("check-peer", "--verify", file).sentence


def signed_anew(report: bytes, keys: NodeKeys | None = None, **changes: Any) -> bytes:
    """A report that somebody has altered and signed with a key of his own."""
    said = json.loads(report.split(b"\n", 1)[1])
    forger = Probe(said["url"], code=said["sender"])
    keys = keys or forger.keys
    said |= {"probe": forger.card().decode(), **changes}
    return sign(Report.KIND, said["sender"], json.dumps(said).encode(), keys)


@pytest.mark.parametrize(
    "changes",
    [{"entries": 7}, {"counts": {"pass": 1, "fail": 0, "not run": 0}}, {"findings": []}],
)
def test_a_report_that_contradicts_itself_is_none(report: bytes, changes: dict[str, Any]) -> None:
    Opened(signed_anew(report))

    with pytest.raises(BadReport):
        Opened(signed_anew(report, **changes))


def test_the_receipt_in_a_report_must_be_the_nodes(report: bytes, host: Site) -> None:
    said = Opened(report).report
    other = host.node.inbox.receipt(said.sender).decode()

    with pytest.raises(BadReport):
        Opened(signed_anew(report, receipt=other))


def test_a_report_gives_no_orders_to_the_terminal(report: bytes, run: Run, tmp_path: Path) -> None:
    said = Opened(report).report.findings[0].model_dump()
    finding = said | {"observed": "\x1b[2J[red]all is well", "verdict": "fail"}
    file = tmp_path / "loud.report"
    one = {"pass": 0, "fail": 1, "not run": 0}
    file.write_bytes(signed_anew(report, findings=[finding], counts=one))

    told = run("check-peer", "--verify", file)

    assert told.code == 1
    assert "\x1b" not in told.out
    assert "[red]" in told.out


@pytest.mark.parametrize("wire", [b"", b"hello", b"waystation/check/v1 probe-x AAAA\n[]"])
def test_what_is_no_report_is_refused(wire: bytes) -> None:
    with pytest.raises(BadReport):
        Opened(wire)


# The command.


@pytest.mark.slow
def test_a_node_here_is_enrolled_and_checked_by_one_command(
    tested: Site, run: Run, tmp_path: Path
) -> None:
    file, card = tmp_path / "lanzhou.report", tmp_path / "probe.card"

    said = run("check-peer", tested.url, "--enrol", "--card", card, "--report", file)

    assert said.code == 0, said.out
    opened = Opened(file.read_bytes())
    assert read_card(card.read_bytes()).fingerprint == opened.probe.fingerprint
    assert opened.probe.fingerprint in said.out
    peers = {peer["peer"]: peer["grants"] for peer in tested.get("/peers")}
    assert peers[opened.report.sender] == []


def test_without_an_address_there_is_nothing_to_check(run: Run) -> None:
    assert "没有说明检查什么" in run("check-peer").sentence


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "192.0.2.1:80"])
def test_where_the_probe_cannot_listen_is_said(run: Run, tested: Site, address: str) -> None:
    said = run("check-peer", tested.url, "--listen", address)

    assert "不能在这个地址上应答" in said.sentence


def test_the_address_on_the_card_must_be_one(run: Run, tested: Site) -> None:
    said = run("check-peer", tested.url, "--address", "10.0.0.1:8800")

    assert "http://HOST:PORT" in said.sentence


def test_a_report_that_could_not_be_written_is_not_begun(
    run: Run, tested: Site, tmp_path: Path
) -> None:
    before = len(tested.get("/peers"))

    said = run("check-peer", tested.url, "--enrol", "--report", tmp_path / "no" / "report")

    assert "不能写入这个文件" in said.sentence
    assert len(tested.get("/peers")) == before
