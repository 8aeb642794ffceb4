"""数据包回报: what a file holds that is made, and what became of one that is taken in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sync.bundle_file import Cover, Header
from sync.errors import LaneFault


class Span(NamedTuple):
    """From one number to another, both included."""

    first: int
    last: int


class Packed(NamedTuple):
    """A bundle on its way out."""

    header: Header
    cover: Cover
    told: int
    """How far its receipt confirms the peer's lane."""
    more: bool
    """Whether there is more than one file holds."""
    wire: bytes
    asks: bool = False
    """索还: it asks the peer for what we once sent, and brings nothing."""
    gives: int = 0
    """归还: how many pages of its own facts it gives the peer back."""


@dataclass
class Taken:
    """What became of one file: every question its bearer has is answered by a field."""

    sha256: str
    header: Header | None = None
    cover: Cover | None = None
    again: bool = False
    """This very file was taken in before."""
    twin: bool = False
    """Another file of this number was."""
    unseen: Span | None = None
    """Bundles that should have come before it and did not."""
    missing: Span | None = None
    """Lane numbers without which it cannot be recorded."""
    recorded: int = 0
    known: int = 0
    parked: int = 0
    confirmed: int | None = None
    """How far the peer confirms our lane."""
    they_refused: str | None = None
    """What the peer says of what we sent before."""
    answer: bool = False
    """Whether the peer should be sent a bundle in return."""
    asks: bool = False
    """索还: the peer restored an old backup, and asks for what it once sent."""
    gives: int = 0
    """归还: how many pages of our own facts it brought back."""
    faults: list[LaneFault] = field(default_factory=list)
