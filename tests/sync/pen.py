"""The pen of a peer that signs whatever a test wants it to say, right or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from api.node import Node
from domain.outflow import Outflow
from sync.envelope import Batch, Grant, LaneEntry, LaneReceipt
from sync.keys import NodeKeys
from sync.numbering import next_root
from tests.support.federation import NOW

ACTIVITY = {"kind": "theme_day", "title": "主题党日"}
CONTACT = {"method": "电话", "by": "王联络", "reached": True}


class Pen:
    """Writes batches of `sender` to `receiver`, which are enrolled with each other."""

    def __init__(self, sender: Node, receiver: Node) -> None:
        self.sender, self.receiver = sender, receiver
        self.org, self.to = sender.settings.code, receiver.settings.code

    @property
    def number(self) -> int:
        """How far the receiver has recorded this lane."""
        return self.receiver.lanes.standing_in(self.org).number

    def entry(
        self,
        topic: str = "activity.held",
        stream: UUID | None = None,
        version: int = 1,
        **said: Any,
    ) -> LaneEntry:
        """A fact; `keeper`, `author`, `subject`, `recorded_at` say what its meta says."""
        state = json.dumps(self.state(topic, **said), ensure_ascii=False, separators=(",", ":"))
        return LaneEntry(stream=stream or uuid4(), version=version, topic=topic, state=state)

    def state(self, topic: str, **said: Any) -> dict[str, Any]:
        """As `entry`, before it is written down."""
        author = {"org": said.pop("author", self.org), "person": "officer"}
        subject = said.pop("subject", None)
        meta = {
            "recorded_at": said.pop("recorded_at", NOW.isoformat()),
            "occurred": {"on": "2026-01-04"},
            "author": author,
            "keeper": said.pop("keeper", self.org),
            "audience": [self.to],
            "source": {},
            "correlation": str(uuid4()),
        }
        if subject is not None:
            meta["subject"] = str(subject)
        if topic == "activity.held":
            said = {**ACTIVITY, **said}
        return {"meta": meta, **said}

    def activity(self, version: int = 1, stream: UUID | None = None, **said: Any) -> LaneEntry:
        """An activity held; from its second version, cancelled."""
        if version > 1:
            return self.entry("activity.cancelled", stream, version, reason="误登", **said)
        return self.entry("activity.held", stream, version, **said)

    def contact(self, outflow: Outflow | UUID, **said: Any) -> LaneEntry:
        """A contact with a member during an absence."""
        if isinstance(outflow, Outflow):
            said = {"subject": outflow.member, **said}
            outflow = outflow.id
        return self.entry("contact.made", outflow=str(outflow), **{**CONTACT, **said})

    def message(self, entries: Iterable[LaneEntry] = (), **said: Any) -> Batch:
        """A batch that follows what the receiver has, unless a test says otherwise."""
        entries = tuple(entries)
        standing = self.receiver.lanes.standing_in(self.org)
        before = said.pop("before", standing.root)
        root = before
        for entry in entries:
            root = next_root(root, record_of(entry))
        first = said.pop("first", standing.number + 1)
        fields = {
            "sender": self.org,
            "receiver": self.to,
            "first": first,
            "before": before,
            "root": root,
            "head": first + len(entries) - 1,
            "sent_at": NOW,
            "entries": entries,
            **said,
        }
        return Batch(**fields)

    def wire(self, *entries: LaneEntry, keys: NodeKeys | None = None, **said: Any) -> bytes:
        """A signed batch."""
        return self.message(entries, **said).signed(keys or self.sender.keys)

    def send(self, *entries: LaneEntry, **said: Any) -> Any:
        """Let the receiver take in a batch; its outcome."""
        return self.receiver.inbox.accept(self.wire(*entries, **said))

    def body(self, body: bytes, kind: str = "batch") -> bytes:
        """Sign any bytes as a body."""
        return sign(self.sender.keys, self.org, body, kind)

    def raw(self, state: str, topic: str = "activity.held", **address: Any) -> Any:
        """Let the receiver take in one entry of any state at all."""
        entry = LaneEntry.model_construct(
            stream=address.get("stream", uuid4()),
            version=address.get("version", 1),
            topic=topic,
            state=state,
        )
        message = self.message((entry,))
        return self.receiver.inbox.accept(message.signed(self.sender.keys))


def sign(keys: NodeKeys, sender: str, body: bytes, kind: str = "batch") -> bytes:
    """Any bytes, signed as a message."""
    from sync.keys import b64  # noqa: PLC0415

    signature = keys.sign(f"waystation/{kind}/v1\n".encode() + body)
    return f"waystation/{kind}/v1 {sender} {b64(signature)}\n".encode() + body


def record_of(entry: LaneEntry) -> StoredEvent:
    """The record an entry carries."""
    return StoredEvent(entry.stream, entry.version, entry.topic, entry.state.encode())


def receipt(by: Node, to: str, number: int, root: str, at: datetime = NOW) -> bytes:
    """A receipt of any content, properly signed."""
    message = LaneReceipt(sender=by.settings.code, receiver=to, number=number, root=root, at=at)
    return message.signed(by.keys)


def grant_of(message: Batch) -> Grant:
    """The first key that travels with a batch."""
    return message.grants[0]
