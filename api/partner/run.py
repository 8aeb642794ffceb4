"""检查一个节点: introduces the probe, runs the script in its order, signs what came of it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from time import monotonic

from api.partner.asking import ASKING, BEFORE
from api.partner.caller import Caller
from api.partner.counter import CannotServe, Counter, listen, serving
from api.partner.lane import Lane
from api.partner.probe import Probe
from api.partner.report import OBSERVED_MAX, Failed, Finding, NotRun, Report, Verdict, count
from api.partner.script import Check, Visit
from api.partner.sending import SENDING
from domain.errors import Refusal
from domain.values import utc_now
from sync.card import Card, read_card
from sync.errors import LaneFault, TooLarge

RUN_S = 300.0
"""For all checks after the probe is enrolled; what is left then is not run."""

CARD_BYTES = 4_000
"""Of a node's card, as when it is enrolled."""

ADDRESS = re.compile(r"https?://[^\s/]+")
"""As a node's own (`advertise`)."""

SCRIPT = (*BEFORE, *ASKING, *SENDING)

Introduce = Callable[[bytes], None]
"""Called with the probe's card, before anything is asked that needs it to be enrolled."""


class NoPeerCard(Refusal):
    """对方没有给出有效的名片。The node shows no valid card."""

    mend = "请核对地址；对方须先修好名片。Check the address; its card must be valid first."


def check_node(
    url: str,
    introduce: Introduce,
    *,
    at: str = "127.0.0.1:0",
    address: str | None = None,
) -> bytes:
    """Check the node at an address; the signed report.

    Raises:
        NoPeerCard, CannotServe.
    """
    if address is not None and not ADDRESS.fullmatch(address):
        raise CannotServe(address=address, because="http://HOST:PORT")
    with ExitStack() as stack:
        at_ = stack.enter_context(closing(listen(at)))
        host, port = at_.getsockname()[:2]
        probe = Probe(address or f"http://{host}:{port}")
        caller = stack.enter_context(closing(Caller(url, probe)))
        shown, node = _card(caller)
        probe.node = node.sender
        counter = Counter(probe.code, node)
        lane = Lane(probe, counter)
        counter.heartbeat = lane.heartbeat
        stack.enter_context(serving(counter, at_))
        visit = Visit(probe, node, caller, counter, lane)
        started = utc_now()
        introduce(probe.card())
        findings = tuple(_findings(visit))
    return _signed(visit, shown, started, findings)


def _signed(visit: Visit, card: str, started: datetime, findings: tuple[Finding, ...]) -> bytes:
    probe, counter = visit.probe, visit.counter
    return Report(
        sender=probe.code,
        probe=probe.card().decode(),
        node=card,
        node_code=visit.node.sender,
        url=visit.caller.url,
        software=f"waystation {importlib.metadata.version('waystation')}",
        started=started,
        ended=utc_now(),
        findings=findings,
        counts=count(findings),
        entries=counter.receipts[-1].number if counter.receipts else 0,
        receipt=counter.proof.decode() if counter.proof else None,
    ).signed(probe.keys)


def _card(caller: Caller) -> tuple[str, Card]:
    answer = caller.send("GET", "/card")
    try:
        if len(answer.content) > CARD_BYTES:
            raise TooLarge(bytes=len(answer.content), maximum=CARD_BYTES)
        return answer.content.decode(), read_card(answer.content)
    except (LaneFault, UnicodeError) as fault:
        raise NoPeerCard(url=caller.url, answer=answer.told, because=str(fault)) from None


def _findings(visit: Visit) -> Iterator[Finding]:
    because, deadline = "", None
    for check in SCRIPT:
        if deadline is not None and monotonic() > deadline:
            because = f"the {RUN_S:g} s are over"
        observed, verdict = (because, "not run") if because else _tried(check, visit)
        if check.opens and verdict != "pass":
            because = because or f"{check.name} did not pass"
        if not because and visit.lane.stuck():
            because = f"the lane is stuck since {check.name}"
        if check is BEFORE[-1]:
            deadline = monotonic() + RUN_S
        yield Finding(
            name=check.name,
            sent=check.sent,
            expected=check.expected,
            observed=observed[:OBSERVED_MAX],
            verdict=verdict,
        )


def _tried(check: Check, visit: Visit) -> tuple[str, Verdict]:
    try:
        return check.run(visit), "pass"
    except Failed as fault:
        return str(fault), "fail"
    except NotRun as reason:
        return str(reason), "not run"
