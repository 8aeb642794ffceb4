"""复原: what a node does and says after an old backup was restored on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from api.key_change import KeyChange
from api.service import Service
from api.settings import Settings
from api.storage.keyring import NodeKeyring
from domain.commands import Command, EnrolPeer, RekeyPeer
from domain.errors import Refusal
from domain.ledger import Ledger
from domain.values import OrgCode
from sync.checkpoint import epoch_of
from sync.envelope import Sealed
from sync.fence import Fence, Wish
from sync.given_back import ByFile
from sync.healing import Healer
from sync.keys import NodeKeys
from sync.lane_bundle import Bundles
from sync.log import Log, Store
from sync.relay import Relay
from sync.renewal import Renewal
from sync.returned import Returner
from sync.store import LaneStore
from sync.taking_back import Asker


class Parts(Protocol):
    """What is needed of a node."""

    settings: Settings
    clock: Callable[[], datetime]
    keys: NodeKeys
    keyring: NodeKeyring
    ledger: Ledger
    lanes: LaneStore
    service: Service
    relay: Relay
    fence: Fence
    log: Log
    bundles: Bundles
    key_change: KeyChange


class BackupRestored(Refusal):
    """本节点恢复了旧备份，取回之前暂停登记。An old backup was restored: nothing is recorded."""

    kind = "busy"
    mend = (
        "取回后自动继续；进展与下一步：waystation fence status。"
        "It goes on by itself once all is fetched. What is missing, and what to do:"
        " waystation fence status."
    )


class NothingToRenew(Refusal):
    """台账没有缺失，不需要新纪元。Nothing is missing from the ledger: no epoch need begin."""

    mend = "无需处理。Nothing need be done."


class NothingToTake(Refusal):
    """该对方没有待取回的记录。That peer holds nothing of ours that is to be taken back."""

    mend = "请看 waystation fence status。See waystation fence status."


SAYS = {
    "whole": "台账完整，签发正常。The ledger is whole; signing goes on.",
    "claimed": (
        "有对方持有本节点没有的本组织记录，其通道暂停。核对后取回：waystation fence take 对方代码。"
        "A peer holds facts of this organization that are not here; its lane waits. Compare with"
        " them, then fetch: waystation fence take PEER."
    ),
    "held": (
        "有对方所持的本组织记录未取回，其通道暂停，可达后自动取回。"
        "Lanes wait of peers whose facts of ours are not fetched yet; it is tried by itself."
    ),
    "asking": (
        "有对方未应答，自动重试。确认不能等的，启用新纪元并列明：waystation fence renew --without。"
        "Peers do not answer; they are asked again by itself. If they cannot be waited for:"
        " waystation fence renew --without."
    ),
    "wanting": (
        "对方见证过的台账不能原样复原（有从未发出的记录已丢失）。两条出路：恢复更新的备份；"
        "或启用新纪元：waystation fence renew --reason。对方持有的本组织记录将全部取回。"
        "The ledger that peers have witnessed cannot be made again: something is lost that nobody"
        " was sent. Restore a newer backup, or begin a new epoch: waystation fence renew --reason."
        " All that peers hold of this organization is fetched back."
    ),
    "renewing": (
        "正在取回，完成后自动启用新纪元。What peers hold is being fetched; then the epoch begins."
    ),
}
"""What happens next, by how it stands."""


class Restoring:
    """One for a node."""

    def __init__(self, node: Parts, tree: Store) -> None:
        self._node = node
        self._taking: set[OrgCode] = set()
        store, keys, keyring, clock = node.lanes, node.keys, node.keyring, node.clock
        self.returner = Returner(node.relay, store, keys, keyring, clock)
        self.healer = Healer(
            node.ledger,
            store,
            tree,
            node.log,
            keys,
            keyring,
            node.relay,
            node.fence,
            clock,
            node.key_change.choose,
        )
        self.by_file = ByFile(
            node.settings.code, node.relay, store, keys, clock, self.page, self.healer.agreed
        )
        node.bundles.back = self.by_file
        node.service.gate = self._must_be_whole

    def _must_be_whole(self, command: Command) -> None:
        """Nothing is recorded in places that lost facts have; but a lost peer may be enrolled."""
        raised = self._node.fence.raised
        if raised is not None and not isinstance(command, EnrolPeer | RekeyPeer):
            raise BackupRestored(since=raised.at, shown_by=raised.by)

    def page(self, asker: OrgCode, after: int, cursor: int, size: int) -> bytes:
        """What a peer is given back."""
        return self.returner.page(self._node.settings.code, asker, after, cursor, size)

    def step(self, ask: Asker) -> bool:
        """One round, where there is anything to do; whether something may go on."""
        self.healer.greeting.greet(ask)
        if self._node.fence.raised is None and not self._node.relay.held:
            return False
        return self.healer.step(self.by_file.beside(ask))

    def renew(self, wish: Wish) -> None:
        """An operator's word: what cannot be made again is given up, by a signed statement.

        Raises:
            NothingToRenew.
        """
        if self._node.fence.raised is None:
            raise NothingToRenew
        self.healer.wish(wish)

    def take(self, peer: OrgCode) -> None:
        """An operator's word: what a peer says it holds of ours is taken back.

        Raises:
            NothingToTake.
        """
        if peer not in self._node.relay.held:
            raise NothingToTake(peer=peer)
        self.healer.told.faults.pop(peer, None)
        self._taking.add(peer)
        self.healer.take(peer)

    def waits(self) -> bool:
        """Whether nothing is done by itself: what a peer holds of it would be done once more.

        Before the first word after a start; and while what a peer claimed at that start waits for a
        person, until the peer was asked. What it says at any other time stops its own lane alone.
        """
        held = self._node.relay.held
        claimed = {peer for peer in self.healer.greeting.claims if held.get(peer) is False}
        asking = self._taking & held.keys() - self.healer.told.faults.keys()
        return self._node.fence.holds() or bool(asking or claimed)

    # What is said.

    def report(self) -> dict[str, Any]:
        """How it stands: since when, what is missing, with whom, and what happens next."""
        raised, told = self._node.fence.raised, self.healer.told
        how = self._how()
        return {
            "state": how,
            "says": SAYS[how],
            "since": raised and raised.at,
            "shown_by": raised and raised.by,
            "epoch": self._node.log.epoch,
            "lost": told.lost if raised else 0,
            "found": told.found if raised else 0,
            "peers": self._peers() if how != "whole" else [],
            "fault": told.faults.get(self._node.settings.code),
            "ours": self._begun(),
            "asked_back": [each._asdict() for each in self._node.lanes.asks_back()],
            "theirs": [_renewed(each._asdict()) for each in self._node.lanes.renewals()],
        }

    def _how(self) -> str:
        if self._node.fence.raised is None:
            held = self._node.relay.held
            return "whole" if not held else "held" if all(held.values()) else "claimed"
        wish, near = self._node.lanes.wish(), set(self.healer.greeting.near())
        missing = near - self.healer.told.heard.keys()
        if missing - set(wish.without if wish else ()):
            return "asking"
        return "renewing" if wish else "wanting"

    def _peers(self) -> list[dict[str, Any]]:
        told, rows = self.healer.told, []
        for code, peer in sorted(self._node.relay.peers().items()):
            heard = told.heard.get(code)
            here = self._node.lanes.head_out(code).number
            there = heard.number if heard else None
            rows.append(
                {
                    "peer": code,
                    "reached": heard is not None,
                    "by_files": peer.lane is not None,
                    "held": code in self._node.relay.held,
                    "number_here": here,
                    "number_there": there,
                    "missing": None if there is None else max(0, there - here),
                    "fault": told.faults.get(code),
                }
            )
        return rows

    def _begun(self) -> dict[str, Any] | None:
        begun = self._node.lanes.renewal()
        return _renewed(begun._asdict()) if begun else None


def _renewed(row: dict[str, Any]) -> dict[str, Any]:
    """A statement with what it says, beside its signed text."""
    said = Sealed(row["wire"].encode()).claims(Renewal)
    origin, size, _ = said.old.split("\n", 2)
    gave_up = f"{epoch_of(origin)[1]}/{size}"
    words = {"by": said.by, "reason": said.reason, "shared": said.shared, "stated_at": said.at}
    return {"org": said.sender, **row, **words, "gave_up": gave_up}
