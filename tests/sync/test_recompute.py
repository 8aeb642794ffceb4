"""重算证明: a certificate is held against the facts again when all has long moved on."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from api.agreement.kept import kept, paper
from api.agreement.recompute import recompute, told
from api.node import Node
from domain.commands import CorrectContact, RecordContact, RecordPhone, RecordReturn
from domain.ledger import NotFound
from domain.outflow import Outflow
from sync.certificate import CertificateInvalid
from sync.compare import FACTS
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN
from tests.support.stage import Staged
from tests.sync.reconciling import Two, edit


@pytest.fixture
def two(three: Staged) -> Two:
    """A member in care, certified as equal."""
    made = Two(three)
    made.outflow = made.one_in_care(contacts=2)
    assert made.reconcile().equal
    made.made.settle()
    return made


def both(two: Two) -> list[tuple[Node, str]]:
    return [(two.origin, CHENGDU), (two.host, ORIGIN)]


def live_on(two: Two) -> None:
    """Rows of nearly every table change, and new ones come."""
    origin, host = two.origin, two.host
    member = origin.ledger.look_up(Outflow, two.outflow).member
    made = contacts(host)[0]
    host.execute(CorrectContact(contact=made, reached=False, reason="误记"))
    said = {"outflow": two.outflow, "on": "2025-07-01", "method": "微信", "by": "李"}
    host.execute(RecordContact.model_validate(said))
    origin.execute(RecordPhone(member=member, phone="13900007777"))
    origin.execute(RecordReturn(outflow=two.outflow, returned_on=date(2025, 8, 1)))
    two.one_in_care()


def contacts(node: Node) -> list[UUID]:
    rows = node.database.rows("SELECT contact FROM contact ORDER BY 1", {})
    return [row["contact"] for row in rows]


def test_it_comes_to_the_same_when_everything_has_moved_on(two: Two) -> None:
    live_on(two)

    for node, peer in both(two):
        found = recompute(node, peer)
        assert found.differing == []
        assert found.models == found.said.models
        assert {m.name: m.rows for m in found.models}["contact"] == 2
        assert told(found)["equal"]


@pytest.mark.slow
def test_an_older_certificate_is_named_by_its_number(two: Two) -> None:
    live_on(two)
    assert two.reconcile().equal
    two.made.settle()

    for node, peer in both(two):
        rows = [
            {m.name: m.rows for m in recompute(node, peer, n).models}["contact"]
            for n in (1, 2, None)
        ]
        assert rows == [2, 4, 4]
        with pytest.raises(NotFound):
            recompute(node, peer, 3)


def test_the_live_tables_are_not_touched(two: Two) -> None:
    live_on(two)
    before = two.host.database.rows("SELECT * FROM contact ORDER BY 1", {})

    recompute(two.host, ORIGIN)
    recompute(two.host, ORIGIN)

    assert two.host.database.rows("SELECT * FROM contact ORDER BY 1", {}) == before
    assert all(map(two.host.projector.rebuild, ("contacts", "roster", "custody")))


def test_a_fact_that_was_altered_later_is_found_by_its_table(two: Two) -> None:
    edit(
        two.host,
        "UPDATE stored_events SET state = convert_to("
        "replace(convert_from(state, 'UTF8'), '\"by\":\"李\"', '\"by\":\"赵\"'), 'UTF8')"
        " WHERE originator_id = %s AND originator_version = 1",
        contacts(two.host)[0],
    )

    assert recompute(two.host, ORIGIN).differing == ["contact", FACTS]
    assert recompute(two.origin, CHENGDU).differing == []


def test_a_fact_that_is_gone_is_found(two: Two) -> None:
    edit(two.host, "DELETE FROM stored_events WHERE originator_id = %s", contacts(two.host)[0])

    assert recompute(two.host, ORIGIN).differing == ["contact", FACTS]


def test_an_edited_row_of_today_does_not_matter(two: Two) -> None:
    edit(two.host, "UPDATE contact SET by = 'x' WHERE contact = %s", contacts(two.host)[0])

    assert recompute(two.host, ORIGIN).differing == []


def test_what_is_handed_out_does_not_tell_the_salt(two: Two) -> None:
    for node, peer in both(two):
        fact = kept(node, peer)
        assert fact.salt not in str(paper(fact))


@pytest.mark.parametrize(
    ("change", "because"),
    [({"salt": "0" * 64}, "salt"), ({"rules": "1:older"}, "other rules")],
)
def test_what_cannot_be_recomputed_says_why(
    two: Two, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], because: str
) -> None:
    fact = kept(two.origin, CHENGDU)
    if rules := change.pop("rules", None):
        monkeypatch.setattr("api.agreement.recompute.RULES", rules)
    changed = fact.model_copy(update=change)
    monkeypatch.setattr("api.agreement.recompute.kept", lambda *_: changed)

    with pytest.raises(CertificateInvalid, match=because):
        recompute(two.origin, CHENGDU)


def test_without_a_certificate_there_is_nothing_to_recompute(two: Two) -> None:
    with pytest.raises(NotFound):
        recompute(two.origin, SHENZHEN)
