"""半失: a restored node has its member back, and not the absence that nobody was sent."""

from __future__ import annotations

from uuid import UUID

import pytest

from domain.commands import (
    AdmitTransfer,
    ApproveTransfer,
    EndMembership,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
)
from domain.member import AlreadyAway, Member
from domain.outflow import Outflow
from tests.support.federation import CHENGDU, NOW, ORIGIN, depart, register
from tests.support.stage import Staged

DAY = NOW.date()


@pytest.fixture
def half(three: Staged) -> tuple[UUID, UUID]:
    """A member who is away, and the absence, of which the disk has lost the second."""
    node = three[ORIGIN]
    member = register(node)
    three.settle()
    backup = three.stage.snapshot(ORIGIN)
    outflow = depart(node, member)
    left = node.ledger.stream(member)[-1]
    three.stage.restore(ORIGIN, backup)
    node = three.restart(ORIGIN)
    node.ledger.replicate([left], None, ())
    file = node.ledger.look_up(Member, member)
    assert file.away == outflow
    assert node.ledger.find(Outflow, outflow) is None
    return member, outflow


def look(three: Staged) -> None:
    """Nothing stops, here or there, and read models stand."""
    three.settle()
    for node in three.nodes.values():
        assert not node.projector.stopped
        assert node.broken == {}
        for name in node.projector.projections:
            assert node.projector.rebuild(name), name


def test_the_absence_is_registered_once_more(three: Staged, half: tuple[UUID, UUID]) -> None:
    member, outflow = half
    node = three[ORIGIN]

    assert depart(node, member) == outflow

    assert node.ledger.look_up(Member, member).absences == 1
    with pytest.raises(AlreadyAway):
        depart(node, member)
    look(three)


def test_the_member_can_be_transferred(three: Staged, half: tuple[UUID, UUID]) -> None:
    member, _ = half
    node, host = three[ORIGIN], three[CHENGDU]
    transfer = node.execute(RequestTransfer(member=member, to=CHENGDU)).id
    for person, level in (("one", "branch"), ("two", "committee")):
        approve = ApproveTransfer.model_validate({"transfer": transfer, "level": level})
        node.execute(approve, person=person)
    node.execute(SendTransfer(transfer=transfer, dues_paid_to=DAY))
    three.settle()
    said = {"dispatch": 1, "branch": "第一党支部", "admitted_on": DAY}
    host.execute(AdmitTransfer.model_validate({"transfer": transfer, **said}))
    slip = {"transfer": transfer, "handler": "赵干事", "phone": "13900001234"}
    host.execute(ReturnSlip.model_validate(slip))

    look(three)

    file = node.ledger.look_up(Member, member)
    assert (file.away, file.released_to) == (None, CHENGDU)


def test_the_membership_can_be_ended(three: Staged, half: tuple[UUID, UUID]) -> None:
    member, _ = half
    node = three[ORIGIN]

    end = {"member": member, "how": "died", "document": "死亡证明", "on": DAY}
    node.execute(EndMembership.model_validate(end))

    assert node.ledger.look_up(Member, member).away is None
    look(three)
