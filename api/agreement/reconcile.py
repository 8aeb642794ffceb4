"""对账: compares with a peer, cures what this side can cure, and has the equal state certified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID

from api.agreement import snapshot as snapshots
from api.agreement.causes import Case, Cause, Difference, Pair, judge
from api.agreement.kept import keep
from api.agreement.snapshot import PairSnapshot
from api.node import Node
from domain.decisions.home import us
from domain.errors import Refusal
from domain.organization import Peer
from domain.records import key_ids
from domain.values import DataClass, OrgCode
from projections.shared import BY_NAME, RULES, SHARED
from sync import evidence
from sync.answering import Answering, lanes_of
from sync.book_shared import SharedBook
from sync.certificate import Certificate, salt_hash, sign
from sync.compare import FACTS, Opened, Waiting
from sync.comparing import Comparison, models_of
from sync.errors import LaneFault

PASSES_MAX = 3
"""How often one run compares: at first, and after what it has cured."""

CUTS_MAX = 5
"""How often both take a snapshot anew because facts were under way between them."""


class PeerNotReached(Refusal):
    """对方节点没有应答。The peer's node does not answer."""

    kind = "busy"
    mend = "请稍后再试，或请对方检查节点。Try again later, or ask them to look after their node."


class PeerNotBelieved(Refusal):
    """对方的答复不可信，已留证据。The peer's answer is not accepted; it is kept as evidence."""

    mend = "waystation show quarantine；请电话核实对方节点。See the quarantine; ask its operator."


class Way(Protocol):
    """How one peer is reached; what it raises is PeerNotReached."""

    def post(self, wire: bytes) -> bytes:
        """Carry a question there and the answer back."""

    def fetch(self) -> int:
        """Have what the peer's lane holds recorded by the inbox; how many entries were new."""


class LaneState(NamedTuple):
    """One direction, as both snapshots have it."""

    to: OrgCode
    told: int
    heard: int
    same_root: bool


@dataclass
class Found:
    """One comparison."""

    comparison: Comparison
    snapshot: PairSnapshot
    opened: Opened
    pair: Pair
    differences: tuple[Difference, ...]
    more: bool
    moved: int

    @property
    def lanes(self) -> tuple[LaneState, LaneState]:
        """Both lanes, ours first: what was told, what was heard, and whether it is one history."""
        here, there = self.snapshot.cut, self.opened.cut
        to, back = self.pair.there, self.pair.here
        return (
            LaneState(to, here.told, there.heard, here.told_root == there.heard_root),
            LaneState(back, there.told, here.heard, there.told_root == here.heard_root),
        )

    @property
    def equal(self) -> bool:
        """Whether a certificate may say so."""
        return (
            all(lane.told == lane.heard and lane.same_root for lane in self.lanes)
            and not (self.snapshot.waiting or self.opened.waiting)
            and self.pair.same_rules
            and models_of(self.snapshot.hashes) == self.opened.models
        )


@dataclass
class Report:
    """What a run found and did."""

    peer: OrgCode
    dry_run: bool
    equal: bool = False
    first: dict[tuple[str, UUID], Difference] = field(default_factory=dict)
    last: Found | None = None
    cured: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    messages: int = 0


def answering(node: Node, wait: Callable[[], None] = snapshots.pause) -> Answering:
    """What answers a node's peers when they ask."""

    def take(peer: OrgCode, salt: bytes, theirs: tuple[DataClass, ...]) -> PairSnapshot:
        return snapshots.take(node, peer, salt, theirs, wait)

    keeps = partial(keep, node)
    granted = node.relay.granting.open_to
    return Answering(node.settings.code, node.keys, node.clock, RULES, granted, take, keeps)


class Reconciler:
    """One for a node; a run holds nothing but memory: cut short, it has harmed nothing."""

    def __init__(
        self,
        node: Node,
        way: Callable[[Peer], Way],
        wait: Callable[[], None] = snapshots.pause,
    ) -> None:
        self._node, self._way, self._wait = node, way, wait
        self._org = node.settings.code

    def run(self, code: OrgCode, *, dry_run: bool) -> Report:
        """Compare, cure, compare again, certify; a dry run compares once and changes nothing.

        Raises:
            PeerUnknown, PeerNotReached, PeerNotBelieved.
        """
        peer, report = us(self._node.ledger).peer(code), Report(code, dry_run)
        way, heard = self._way(peer), b""

        def post(wire: bytes) -> bytes:
            nonlocal heard
            heard = way.post(wire)
            return heard

        try:
            for _ in range(PASSES_MAX):
                found = self._compare(peer, post)
                report.last = found
                report.first = {(d.model, d.key): d for d in found.differences} | report.first
                report.messages += found.comparison.messages
                if found.equal or dry_run or not self._cure(found, way, report):
                    break
            report.equal = found.equal
            if found.equal and not dry_run:
                self._certify(peer, found)
        except LaneFault as fault:
            now = self._node.clock()
            self._node.lanes.refuse(evidence.refused(code, now, fault, heard))
            raise PeerNotBelieved(peer=code, because=str(fault), fault=fault.code()) from fault
        return report

    def _compare(self, peer: Peer, post: Callable[[bytes], bytes]) -> Found:
        for left in reversed(range(CUTS_MAX)):
            comparison = Comparison(self._org, peer, self._node.keys, post, self._node.clock)
            opened, salt = comparison.open(self._node.relay.granting.open_to(peer.code))
            ours = snapshots.take(self._node, peer.code, salt, opened.grants, self._wait)
            here, there = ours.cut, opened.cut
            if (here.told, here.heard) == (there.heard, there.told) or not left:
                break
            self._wait()
        pair = self._pair(peer, ours, opened)
        differing = comparison.differing(ours.hashes, opened)
        theirs = comparison.rows(differing.rows)
        judged, moved = [], 0
        for name, their in zip(differing.rows, theirs, strict=True):
            our = ours.row(name.model, name.key)
            if our.moved or their.moved:
                moved += 1
                continue
            told = {our.stream, their.stream} & ours.sight.told
            keeper = self._org if told else peer.code
            judged.append(judge(Case(name, our, their, keeper), pair))
        return Found(comparison, ours, opened, pair, tuple(judged), differing.more, moved)

    def _pair(self, peer: Peer, ours: PairSnapshot, opened: Opened) -> Pair:
        behind = {self._org} if ours.cut.heard < opened.cut.told else set()
        behind |= {peer.code} if opened.cut.heard < ours.cut.told else set()
        waiting: dict[OrgCode, tuple[Waiting, ...]] = {
            self._org: ours.waiting,
            peer.code: opened.waiting,
        }
        models = {shared.name: shared.projection.name for shared in SHARED}
        same = opened.rules == RULES
        return Pair(self._org, peer.code, frozenset(behind), waiting, models, same)

    # What this side can mend.

    def _cure(self, found: Found, way: Way, report: Report) -> bool:
        """Mend what can be mended here; whether that shows at once."""
        before = len(report.cured)
        if self._org in found.pair.behind and (fetched := way.fetch()):
            report.cured.append(f"fetched {fetched}")
        causes = {Cause.MODEL_STOPPED, Cause.MODEL_BEHIND, Cause.MODEL_EDITED}
        models = {
            BY_NAME[d.model].projection.name
            for d in found.differences
            if d.at == self._org and d.cause in causes and d.model in BY_NAME
        }
        models |= {each.model for each in found.snapshot.waiting if each.model != FACTS}
        for model in sorted(models):
            try:
                self._node.projector.rebuild(model)
            except Exception as fault:  # noqa: BLE001 - whatever stops it, the report says so.
                report.failed.append(f"rebuild {model}: {type(fault).__name__}: {fault}"[:300])
            else:
                report.cured.append(f"rebuilt {model}")
        mended = len(report.cured) > before
        keys = self._keys_to_send(found)
        if keys:
            # They travel with the next fact: comparing again at once would find the same.
            sent = SharedBook(self._node.database).regrant(found.pair.there, keys)
            report.cured.append(f"keys sent again with the next fact: {sent}")
        return mended

    def _keys_to_send(self, found: Found) -> list[UUID]:
        """The keys of our facts that the peer may open and does not hold."""
        peer, keyring = self._node.relay.peer(found.pair.there), self._node.keyring
        book, ids = SharedBook(self._node.database), set()
        for each in found.differences:
            if each.cause == Cause.KEY_MISSING and each.at == peer.code:
                personal = BY_NAME[each.model].personal
                wanted = {personal[name] for name in each.fields if name in personal}
                for record in book.shared(self._org, peer.code, each.stream):
                    keys = filter(None, map(keyring.key, key_ids(record)))
                    ids |= {key.id for key in keys if key.data_class in wanted}
        return sorted(ids)

    def _certify(self, peer: Peer, found: Found) -> None:
        certificate = Certificate(
            parties=(self._org, peer.code),
            at=self._node.clock(),
            rules=RULES,
            open=(self._node.relay.granting.open_to(peer.code), found.opened.grants),
            lanes=lanes_of(self._org, peer.code, found.snapshot.cut),
            models=models_of(found.snapshot.hashes),
            salt=salt_hash(found.snapshot.basis.salt),
        )
        text, theirs = found.comparison.agree(certificate)
        ours = sign(text, self._org, self._node.keys).signature
        keep(self._node, peer.code, certificate, text, (ours, theirs), found.snapshot.basis)
