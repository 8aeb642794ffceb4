"""探针: the organization that checks a node, with keys of its own, a card, and nothing else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from domain.aggregate import CIVIL_ZONE, Meta
from domain.values import Author, Occurred, OrgCode, Source, utc_now
from sync.card import make_card
from sync.envelope import Batch, LaneEntry, LaneReceipt, Want
from sync.keys import NodeKeys
from sync.numbering import next_root
from sync.signed_http import Signer

NAME = "对端检查探针 check-peer probe"
NOBODY: OrgCode = "probe-nobody"
"""An organization that does not exist."""


@dataclass
class Probe:
    """Signs whatever a check wants it to say, right or wrong."""

    address: str
    node: OrgCode = ""
    code: OrgCode = field(default_factory=lambda: f"probe-{secrets.token_hex(4)}")
    keys: NodeKeys = field(default_factory=NodeKeys.generate)
    stranger: NodeKeys = field(default_factory=NodeKeys.generate)
    """Keys that nobody was shown."""
    skew: timedelta = timedelta(0)
    """How far the node's clock is ahead of ours."""

    def card(self) -> bytes:
        """What the node's operator enrols."""
        return make_card(self.keys, self.code, NAME, self.address, utc_now())

    def signer(
        self, *, off: timedelta = timedelta(0), keys: NodeKeys | None = None, org: OrgCode = ""
    ) -> Signer:
        """Signs requests; by a clock that is off the node's, with another key, as another."""
        return Signer(org or self.code, keys or self.keys, partial(self._moment, off))

    def _moment(self, off: timedelta) -> datetime:
        return utc_now() + self.skew + off

    def receipt(self, number: int, root: str, **said: Any) -> LaneReceipt:
        """What we say we have of the node's lane."""
        said = {"sender": self.code, "receiver": self.node, "at": utc_now(), **said}
        return LaneReceipt(number=number, root=root, **said)

    def want(self, after: int) -> Want:
        """What we ask the node to send again."""
        return Want(sender=self.code, receiver=self.node, after=after, at=utc_now())

    def entry(self, topic: str, stream: UUID, version: int = 1, **said: Any) -> LaneEntry:
        """A fact; `keeper`, `author` and `schema_version` are what its meta says of them."""
        now = utc_now()
        meta = Meta(
            schema_version=said.pop("schema_version", 1),
            recorded_at=now,
            occurred=Occurred(on=now.astimezone(CIVIL_ZONE).date()),
            author=Author(org=said.pop("author", self.code), person="check-peer"),
            keeper=said.pop("keeper", self.code),
            audience=(self.node,),
            source=Source(),
            correlation=uuid4(),
        )
        body = {"meta": meta.model_dump(mode="json", exclude_none=True), **said}
        state = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return LaneEntry(stream=stream, version=version, topic=topic, state=state)

    def batch(self, first: int, before: str, entries: Iterable[LaneEntry], **said: Any) -> Batch:
        """Entries of our lane from a number on, with the roots before and after them."""
        entries = tuple(entries)
        root = before
        for each in entries:
            record = StoredEvent(each.stream, each.version, each.topic, each.state.encode())
            root = next_root(root, record)
        said = {"sender": self.code, "receiver": self.node, "root": root, **said}
        head = first + len(entries) - 1
        return Batch(
            first=first, before=before, head=head, sent_at=utc_now(), entries=entries, **said
        )
