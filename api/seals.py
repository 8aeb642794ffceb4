"""存证: seals the record of reads into the ledger, and lets go of it when its time is over."""

from __future__ import annotations

from datetime import timedelta

from api.node import Node
from api.service import BY_ITSELF
from domain.commands import ForgetReads, SealReads


def seal(node: Node, *, everything: bool = False) -> None:
    """Seal what was recorded, once there is enough of it, or it has waited long enough."""
    while everything or node.access.due(node.clock()):
        batch = node.access.unsealed()
        if batch is None:
            return
        node.access.index(batch)
        node.service.execute(SealReads(**batch._asdict()), BY_ITSELF)


def forget(node: Node) -> None:
    """Let go of what has been kept for as long as the settings say."""
    last = node.access.outlived(node.clock() - timedelta(days=node.settings.access_days))
    if last is not None:
        # Said first: whatever else is missing was taken.
        node.service.execute(ForgetReads(last=last), BY_ITSELF)
        node.access.forget(last)
