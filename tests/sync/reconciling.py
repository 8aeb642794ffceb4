"""对账: how the tests compare two nodes, carry their letters by hand, and count them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from api.agreement.reconcile import Reconciler, Report, answering
from api.node import Node
from domain.commands import HoldActivity, MarkAttendance, RecordContact
from domain.organization import Peer
from tests.api.support import number
from tests.support.federation import CHENGDU, ORIGIN, Federation, depart, hand_over, register

Changed = Callable[[bytes], bytes]


class ByHand:
    """The way to a peer without a network; every letter is kept, and may be changed."""

    def __init__(self, made: Federation, here: str, there: str) -> None:
        self.made, self.here, self.there = made, here, there
        self.answers = answering(made[there], lambda: None)
        self.asked: list[bytes] = []
        self.told: list[bytes] = []
        self.change: Changed = lambda wire: wire

    def post(self, wire: bytes) -> bytes:
        self.asked.append(wire)
        told = self.answers.answer(self.made[self.there].relay.peer(self.here), wire)
        self.told.append(self.change(told))
        return self.told[-1]

    def fetch(self) -> int:
        new = 0
        while came := self.made.carry(self.there, self.here):
            new += came
        return new


class Two:
    """The origin and the station in Chengdu."""

    def __init__(self, made: Federation) -> None:
        self.made, self.origin, self.host = made, made[ORIGIN], made[CHENGDU]
        self.way = ByHand(made, ORIGIN, CHENGDU)
        self.outflow = UUID(int=0)

    def reconcile(
        self, here: str = ORIGIN, there: str = CHENGDU, *, dry_run: bool = False
    ) -> Report:
        self.made.clock.pass_(minutes=1)
        self.way = ByHand(self.made, here, there)
        return self.reconciler(self.way).run(there, dry_run=dry_run)

    def reconciler(self, way: Any) -> Reconciler:
        def to(_: Peer) -> Any:
            return way

        return Reconciler(self.made[way.here], to, lambda: None)

    def keys(self) -> dict[str, str]:
        return {code: node.keys.verify_key for code, node in self.made.nodes.items()}

    def one_in_care(self, *, contacts: int = 1) -> UUID:
        """A member in the host's care, with contacts and a mark at an activity."""
        member = register(self.origin, number())
        outflow = depart(self.origin, member)
        hand_over(self.made, outflow, CHENGDU)
        for day in range(contacts):
            said = {"outflow": outflow, "on": f"2025-05-{day + 1:02}", "method": "电话", "by": "李"}
            self.host.service.execute(RecordContact.model_validate(said))
        held = self.host.service.execute(
            HoldActivity.model_validate(
                {"kind": "theme_day", "title": "主题党日", "on": "2025-06-01"}
            )
        )
        mark = {"activity": held.id, "outflow": outflow, "mark": "present"}
        self.host.service.execute(MarkAttendance.model_validate(mark))
        self.made.settle()
        return outflow


def edit(node: Node, query: str, *values: Any) -> None:
    """Change exactly one row behind the node's back."""
    with node.database.connection() as conn:
        assert conn.execute(query, values).rowcount == 1
