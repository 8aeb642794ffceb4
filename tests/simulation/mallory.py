"""来路不正: an enrolled organization that means ill, and an eavesdropper on everybody else.

What Mallory signs is chained and numbered as it should be; its entries are not to be recorded.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from domain.claim import Claim
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.sealing import key_id_of
from domain.transfer import Transfer
from domain.values import DataClass
from sync.envelope import Batch, Grant, LaneEntry, LaneReceipt
from sync.errors import Forged, LaneFault, Malformed, Misaddressed
from sync.keys import b64, grant_binding, wrap
from sync.numbering import next_root
from sync.returned import Returned
from sync.standing import Standing
from tests.support.federation import NOW
from tests.support.stage import keys_of
from tests.sync.pen import record_of, sign

MALLORY = "mallory"
KEYS = keys_of(MALLORY)


class Attempt(NamedTuple):
    """Entries that come in one batch, how many of them are good, and a grant beside them."""

    entries: list[LaneEntry]
    good: int = 0
    grants: tuple[Grant, ...] = ()


class Mallory:
    """One for a history."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def id(self) -> UUID:
        """A new one."""
        return UUID(bytes=self._rng.randbytes(16), version=4)

    def entry(self, topic: str, stream: UUID, version: int, *to: str, **said: Any) -> LaneEntry:
        """A fact; `keeper`, `author` and `subject` say what its meta says."""
        meta = {
            "recorded_at": NOW.isoformat(),
            "occurred": {"on": "2026-01-04"},
            "author": {"org": said.pop("author", MALLORY), "person": "mallory"},
            "keeper": said.pop("keeper", MALLORY),
            "audience": to,
            "source": {},
            "correlation": str(self.id()),
        }
        if subject := said.pop("subject", None):
            meta["subject"] = str(subject)
        state = json.dumps({"meta": meta, **said}, ensure_ascii=False, separators=(",", ":"))
        return LaneEntry(stream=stream, version=version, topic=topic, state=state)

    def attempt(self, world: Any, code: str) -> Attempt:
        """Something Mallory tries on a node."""
        tries: tuple[Callable[[Any, str], Attempt], ...] = (
            self._another_keepers_stream,
            self._another_keeper,
            self._another_author,
            self._private,
            self._version_gap,
            self._cannot_open,
            self._takes_part_in_nothing,
            self._claims_for_another,
            self._takes_a_member,
            self._says_we_accepted,
            self._says_we_admitted,
            self._two_keys,
            self._another_key,
            self._takes_our_policy,
        )
        return self._rng.choice(tries)(world, code)

    def batch(self, node: Any, attempt: Attempt) -> Batch:
        """A batch that follows what the node has of Mallory."""
        code, standing = node.settings.code, node.lanes.standing_in(MALLORY)
        return self.chained(MALLORY, code, standing, attempt.entries, grants=attempt.grants)

    def chained(
        self,
        sender: str,
        code: str,
        standing: Standing,
        entries: list[LaneEntry],
        **said: Any,
    ) -> Batch:
        """A batch that goes on where a lane stands."""
        root = standing.root
        for entry in entries:
            root = next_root(root, record_of(entry))
        following: dict[str, Any] = {
            "sender": sender,
            "receiver": code,
            "first": standing.number + 1,
            "before": standing.root,
            "root": root,
            "head": standing.number + len(entries),
            "sent_at": NOW,
            "entries": tuple(entries),
        }
        return Batch(**following | said)

    def page(self, node: Any, after: int) -> bytes:
        """Gives nothing back: holds no more than is known."""
        root = node.lanes.root_out(MALLORY, after)
        said = {"first": after + 1, "number": after, "root": root, "at": NOW}
        message = Returned(sender=MALLORY, receiver=node.settings.code, **said)
        return message.signed(KEYS)

    def nothing(self, node: Any) -> bytes:
        """Sends nothing of what was sent before."""
        standing = node.lanes.standing_in(MALLORY)
        return self.chained(MALLORY, node.settings.code, standing, []).signed(KEYS)

    def receipt(self, code: str) -> bytes:
        """Acknowledges what was never sent."""
        root = self._rng.randbytes(32).hex()
        message = LaneReceipt(sender=MALLORY, receiver=code, number=3, root=root, at=NOW)
        return message.signed(KEYS)

    # What is tried.

    def _held(self) -> dict[str, Any]:
        return {"kind": "theme_day", "title": "主题党日"}

    def _another_keepers_stream(self, world: Any, code: str) -> Attempt:
        account = world.watch.accounts[code]
        streams = sorted(s for s in account.streams if account.keeper(s) != MALLORY)
        stream = self._rng.choice(streams)
        version = len(account.streams[stream]) + 1
        entry = self.entry("activity.cancelled", stream, version, code, reason="x")
        return Attempt([entry])

    def _another_keeper(self, world: Any, code: str) -> Attempt:
        keeper = self._rng.choice(world.codes)
        return Attempt(
            [self.entry("activity.held", self.id(), 1, code, keeper=keeper, **self._held())]
        )

    def _another_author(self, world: Any, code: str) -> Attempt:
        author = self._rng.choice(world.codes)
        return Attempt(
            [self.entry("activity.held", self.id(), 1, code, author=author, **self._held())]
        )

    def _private(self, _: Any, code: str) -> Attempt:
        said = {"code": "ghost", "name": "ghost", "kind": "station"}
        stream = Organization.id_of("ghost")
        return Attempt([self.entry("organization.founded", stream, 1, code, **said)])

    def _version_gap(self, _: Any, code: str) -> Attempt:
        stream = self.id()
        good = self.entry("activity.held", stream, 1, code, **self._held())
        gap = self.entry("activity.cancelled", stream, 3, code, reason="x")
        return Attempt([good, gap], 1)

    def _cannot_open(self, _: Any, code: str) -> Attempt:
        return Attempt([self.entry("activity.cancelled", self.id(), 1, code, reason="x")])

    def _takes_part_in_nothing(self, world: Any, code: str) -> Attempt:
        cares = world.watch.accounts[code].care
        flows = sorted(stream for stream, care in cares.items() if care.keeper != MALLORY)
        outflow = self._rng.choice(flows) if flows else self.id()
        node = world.nodes[code]
        known = node.ledger.find(Outflow, outflow)
        subject = known.member if known else self.id()
        said = {"outflow": str(outflow), "method": "电话", "by": "王", "reached": True}
        return Attempt([self.entry("contact.made", self.id(), 1, code, subject=subject, **said)])

    def _claims_for_another(self, world: Any, code: str) -> Attempt:
        found = sorted(
            stream
            for stream, entries in world.watch.accounts[code].streams.items()
            if entries[0].record.topic == "inflow.found"
        )
        inflow = self._rng.choice(found) if found else self.id()
        said = {"inflow": str(inflow), "outflow": str(self.id())}
        return Attempt([self.entry("claim.recognized", Claim.id_of(inflow), 1, code, **said)])

    def _registered(self, member: UUID, stream: UUID, code: str) -> LaneEntry:
        said = {"member": str(member), "left_on": "2025-03-01", "destination": "四川省成都市"}
        return self.entry("outflow.registered", stream, 1, code, subject=member, **said)

    def _takes_a_member(self, world: Any, code: str) -> Attempt:
        members = sorted(
            stream
            for stream, entries in world.watch.accounts[code].streams.items()
            if entries[0].record.topic == Member.Registered.TOPIC
        )
        if not members:
            return self._cannot_open(world, code)
        member = self._rng.choice(members)
        return Attempt([self._registered(member, Outflow.id_of(member, 150), code)])

    def _says_we_accepted(self, _: Any, code: str) -> Attempt:
        member = self.id()
        stream = Outflow.id_of(member, 1)
        until = "2026-06-01T00:00:00Z"
        offered = {"offer": 1, "host": code, "until": until}
        confirmed = {"offer": 1, "host": code, "since": "2026-01-05", "acceptance": "a" * 64}
        return Attempt(
            [
                self._registered(member, stream, code),
                self.entry("outflow.offered", stream, 2, code, subject=member, **offered),
                self.entry("outflow.confirmed", stream, 3, code, subject=member, **confirmed),
            ],
            2,
        )

    def _says_we_admitted(self, _: Any, code: str) -> Attempt:
        member = self.id()
        stream, way = Transfer.id_of(member, 1), {"dispatch": 1}
        asked = {"member": str(member), "to": code, "by": "member", "levels": ["branch"]}
        sent = {"channel": "online", "until": "2026-06-01T00:00:00Z", "dues_paid_to": "2025-12-01"}
        noted = {"admitted_on": "2026-01-05", "admission": "a" * 64}
        steps = (("requested", asked), ("approved", {"level": "branch"}))
        steps += (("sent", way | sent), ("admitted", way | noted))
        entries = [
            self.entry(f"transfer.{step}", stream, version, code, subject=member, **said)
            for version, (step, said) in enumerate(steps, 1)
        ]
        return Attempt(entries, 3)

    def _two_keys(self, _: Any, code: str) -> Attempt:
        entry = self.entry("activity.held", self.id(), 1, code, **self._held())
        state = entry.state[:-1] + ',"title":"other"}'
        return Attempt([entry.model_copy(update={"state": state})])

    def _another_key(self, world: Any, code: str) -> Attempt:
        """A key under the id of one that an honest peer will grant."""
        ours = [row for c in world.codes if c != code for row in world.stage.key_rows(c)]
        if not ours:
            return self._cannot_open(world, code)
        key_id, subject, data_class, _ = self._rng.choice(sorted(ours, key=str))
        secret = self._rng.randbytes(32)
        assert key_id_of(secret) != key_id
        binding = grant_binding(MALLORY, code, key_id, subject, DataClass(data_class))
        wrapped = b64(wrap(secret, world.nodes[code].keys.sealing_key, binding))
        grant = Grant(key=key_id, subject=subject, data_class=data_class, wrapped=wrapped)
        good = self.entry("activity.held", self.id(), 1, code, **self._held())
        return Attempt([good], 1, (grant,))

    def _takes_our_policy(self, _: Any, code: str) -> Attempt:
        entry = self.entry("activity.held", Organization.id_of(code), 1, code, **self._held())
        return Attempt([entry])


class Forgery(NamedTuple):
    """A message nobody may take in: whom it claims to be from, and what is said of it."""

    wire: bytes
    sender: str
    fault: type[LaneFault]


def forged(rng: Random, pair: tuple[str, str], wire: bytes, to: str) -> Forgery:
    """A message that was overheard, bent in one of the ways open to whoever has no key."""
    header, _, body = wire.partition(b"\n")
    if to != pair[1]:
        return Forgery(wire, pair[0], Misaddressed)
    kind = rng.choice(("flipped", "impostor", "two names", "another kind"))
    if kind == "flipped":
        at = rng.randrange(len(body))
        body = body[:at] + bytes([body[at] ^ (1 << rng.randrange(7))]) + body[at + 1 :]
        return Forgery(header + b"\n" + body, pair[0], Forged)
    if kind == "impostor":
        signature = base64.b64encode(KEYS.sign(b"waystation/batch/v1\n" + body))
        name = b" ".join(header.split(b" ")[:2])
        return Forgery(name + b" " + signature + b"\n" + body, pair[0], Forged)
    if kind == "two names":
        return Forgery(sign(KEYS, MALLORY, body), MALLORY, Malformed)
    return Forgery(wire.replace(b"/batch/", b"/receipt/", 1), pair[0], Forged)
