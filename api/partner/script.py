"""剧本: how a check is written down, and what it has at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from api.partner.caller import Caller
from api.partner.counter import Counter
from api.partner.lane import Lane
from api.partner.probe import Probe
from sync.card import Card


@dataclass
class Visit:
    """One node, visited by one probe."""

    probe: Probe
    node: Card
    caller: Caller
    counter: Counter
    lane: Lane


@dataclass(frozen=True)
class Check:
    """What is sent, what the protocol expects, and how to find out."""

    name: str
    sent: str
    expected: str
    run: Callable[[Visit], str]
    opens: bool = False
    """Without it nothing that follows could be judged."""
