"""版本: which facts one of two nodes writes and the other cannot read yet."""

from __future__ import annotations

from typing import Any

from api.node import Node
from domain.catalogue import reads
from domain.signet import Signet
from domain.values import OrgCode


def reading(node: Node, peer: OrgCode) -> dict[str, Any]:
    """What either side cannot read of the other's, as far as is known."""
    signet = node.ledger.find(Signet, Signet.id_of(peer))
    theirs = signet.reads if signet else node.relay.peer(peer).reads
    if theirs is None:
        return {"known": False, "they_cannot": [], "we_cannot": []}
    ours = reads()
    return {
        "known": True,
        "they_cannot": [u._asdict() for u in node.lanes.unread_by(peer, ours, theirs)],
        "we_cannot": [u._asdict() for u in node.lanes.unread_of(peer, theirs, ours)],
    }
