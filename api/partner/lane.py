"""探针通道: the probe's side of its lane to the node, kept in step whatever the node accepts."""

from __future__ import annotations

import json
from contextlib import suppress
from uuid import uuid4

from api.partner.caller import ANSWER_S
from api.partner.counter import Counter, Heard
from api.partner.probe import Probe
from api.partner.report import Failed
from sync.envelope import ENTRIES_MAX, NO_ROOT, Batch, LaneEntry, Message, sign

RECEIPT_S = 3.0
"""How long a receipt may follow behind the next pull."""


class Lane:
    """Number and root as the node has acknowledged them, and a stream to go on with.

    The stream is one unit of the probe's own, opened first, renamed by each good batch, closed at
    the end: facts every node knows, about nobody, in no list but the history.
    """

    def __init__(self, probe: Probe, counter: Counter) -> None:
        self.probe, self.counter = probe, counter
        self.number, self.root, self.before = 0, NO_ROOT, NO_ROOT
        self.unit, self.version = uuid4(), 0
        self.doubtful = False
        """Whether the last good batch is without its receipt."""

    def heartbeat(self) -> bytes:
        """No news."""
        return self.batch().signed(self.probe.keys)

    def next(self, name: str, **said: object) -> LaneEntry:
        """The next good fact of the unit."""
        version = self.version + 1
        if version == 1:
            said = {"kind": "temporary_branch", "depth": 1, **said}
        topic = "unit.opened" if version == 1 else "unit.renamed"
        return self.probe.entry(topic, self.unit, version, name=name, **said)

    def batch(self, *entries: LaneEntry, **said: object) -> Batch:
        """A batch that follows what the node has, unless it is said otherwise."""
        first = said.pop("first", self.number + 1)
        before = said.pop("before", self.root)
        return self.probe.batch(first, before, entries, **said)  # type: ignore[arg-type]

    def padded(self, message: Message, size: int) -> bytes:
        """A message with a field nobody knows, larger than a size."""
        body = json.dumps({**message.model_dump(mode="json"), "pad": "x" * size})
        return sign(message.KIND, self.probe.code, body.encode(), self.probe.keys)

    def raw(self, body: bytes) -> bytes:
        """Any bytes, signed as a batch."""
        return sign(Batch.KIND, self.probe.code, body, self.probe.keys)

    def good(self, name: str, *before: LaneEntry, **said: object) -> str:
        """Send a good fact, behind others; the node must acknowledge them all.

        Raises:
            Failed: it did not, or not with the root.
        """
        batch = self.batch(*before, self.next(name, **said))
        heard = self.counter.serve(batch.signed(self.probe.keys), ANSWER_S)
        return self.acknowledged(batch, heard)

    def stuck(self) -> bool:
        """Whether the node takes nothing any more: a second good batch is not acknowledged either.

        The first may have stood behind what the node alone did not like.
        """
        if self.doubtful:
            with suppress(Failed):
                self.good("探针 probe: once more")
        return self.doubtful

    def acknowledged(self, batch: Batch, heard: Heard | None) -> str:
        """Wait for the receipt of a batch, and take its last entry as the unit's newest.

        Raises:
            Failed.
        """
        self.doubtful = True
        self.counter.wait(lambda: self._newest() >= batch.last, RECEIPT_S)
        newest = next((r for r in reversed(self.counter.receipts) if r.number >= batch.last), None)
        if newest is None:
            asked = "did not come again" if heard is None else f"asks again after {heard.after}"
            said = self.counter.receipts[-1].refused if self.counter.receipts else None
            raise Failed(f"no receipt of {batch.last}; {asked}{f': {said}' if said else ''}")
        if (newest.number, newest.root) != (batch.last, batch.root):
            raise Failed(f"receipt of {newest.number}, root {newest.root[:8]}, not ours")
        self.number, self.before, self.root = batch.last, self.root, batch.root
        self.doubtful = False
        self.version = batch.entries[-1].version
        return f"receipt of {newest.number}, root {newest.root[:8]}"

    def refused(self, wire: bytes, after: str) -> str:
        """Send what must be refused as a whole; the node must ask again, and go on with the next.

        Raises:
            Failed: it was acknowledged, or nothing is accepted after it.
        """
        heard = self.counter.serve(wire, ANSWER_S)
        if heard is None:
            raise Failed("the node did not come again")
        if heard.after != self.number or any(r.number > self.number for r in heard.receipts):
            self.adopt(heard)
            raise Failed(f"accepted: the node goes on after {self.number}")
        why = next((r.refused for r in heard.receipts if r.refused), None)
        told = f"asks again after {heard.after}" + (f" ({why[:160]})" if why else "")
        wanted = f", wants what follows {heard.wants[-1].after}" if heard.wants else ""
        return f"{told}{wanted}; then {self.good(f'探针 probe: {after}')}"

    def _newest(self) -> int:
        return max((r.number for r in self.counter.receipts), default=0)

    def adopt(self, heard: Heard | None) -> None:
        """Go on from where the node says it is, on a stream that nothing has gone wrong with.

        So that what follows is judged by itself, and not by what went wrong before.
        """
        after = self.number if heard is None else heard.after
        self.counter.wait(lambda: self._newest() >= after, RECEIPT_S)
        for receipt in self.counter.receipts:
            if self.number < receipt.number <= self.number + ENTRIES_MAX:
                self.number, self.before, self.root = receipt.number, self.root, receipt.root
        self.unit, self.version = uuid4(), 0
