"""对账: between two real nodes, what passes, and a peer that does not play fair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from api.agreement.reconcile import PeerNotBelieved
from projections.shared import RULES
from sync.answering import Answering
from sync.compare import Opened, RowName, ToldRows
from sync.comparing import Comparison
from sync.envelope import BATCH_BYTES, NO_ROOT, Sealed
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN, ZHANG
from tests.support.stage import Stage
from tests.sync.conftest import acquainted
from tests.sync.letters import Snap
from tests.sync.reconciling import ByHand, Two, edit


@pytest.fixture(scope="module")
def calm(theatre: Stage) -> Iterator[Two]:
    """One member in the care of Chengdu; every test here leaves it so, the last excepted."""
    theatre.empty()
    with ExitStack() as stack:
        two = Two(acquainted(theatre, stack))
        two.outflow = two.one_in_care()
        yield two


@pytest.fixture
def two(calm: Two) -> Two:
    """With a way on which nothing has passed."""
    calm.way = ByHand(calm.made, ORIGIN, CHENGDU)
    return calm


def test_no_personal_value_is_in_any_letter(two: Two) -> None:
    edit(two.origin, "UPDATE roster_person SET name = '李四', phone = '13911112222'")
    assert two.reconcile().equal
    two.made.settle()

    letters = b"".join(two.way.asked + two.way.told)
    assert len(two.way.asked) > 3
    for value in ("张三", "李四", ZHANG, "13900001234", "13911112222", "东沟村", "李干事"):
        assert value.encode() not in letters


def test_equal_values_look_different_in_every_session(two: Two) -> None:
    told = []
    for _ in range(2):
        two.reconcile(dry_run=True)
        told.append(Sealed(two.way.told[0]).open(Opened, two.host.keys.verify_key))

    assert told[0].nonce != told[1].nonce
    assert told[0].models != told[1].models


# A peer that does not play fair.


def forged(wire: bytes) -> bytes:
    return wire.replace(b'"rows":1', b'"rows":2', 1)


def test_an_answer_with_a_wrong_signature_is_refused_and_kept(two: Two) -> None:
    two.way.change = forged

    with pytest.raises(PeerNotBelieved) as refused:
        two.reconciler(two.way).run(CHENGDU, dry_run=True)

    assert refused.value.facts["fault"] == "forged"
    assert two.origin.lanes.refused_counts()[CHENGDU, "forged"] == 1


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        (b"", "malformed"),
        (b"x" * (BATCH_BYTES + 1), "too-large"),
        (b"waystation/compare_opened/v1 chengdu AAAA\n{}", "malformed"),
        (b"waystation/compare_opened/v9 chengdu AAAA\n{}", "malformed"),
    ],
)
def test_what_is_no_answer_is_refused(two: Two, wire: bytes, fault: str) -> None:
    two.way.change = lambda _: wire

    with pytest.raises(PeerNotBelieved) as refused:
        two.reconciler(two.way).run(CHENGDU, dry_run=True)

    assert refused.value.facts["fault"] == fault


def test_an_answer_to_another_question_is_refused(two: Two) -> None:
    two.reconcile(dry_run=True)
    old = two.way.told[0]
    two.way.change = lambda _: old

    with pytest.raises(PeerNotBelieved, match="answering"):
        two.reconciler(two.way).run(CHENGDU, dry_run=True)


def test_roots_that_do_not_stand_for_what_is_told_are_refused(two: Two) -> None:
    """The peer signs what it likes: it can lie about its root, but not tell what would fit."""

    def lie(wire: bytes) -> bytes:
        sealed = Sealed(wire)
        if sealed.kind != Opened.KIND:
            return wire
        opened = sealed.open(Opened, two.host.keys.verify_key)
        (first, *rest) = opened.models
        models = (first.model_copy(update={"root": "0" * 64}), *rest)
        return opened.model_copy(update={"models": models}).signed(two.host.keys)

    two.way.change = lie

    with pytest.raises(PeerNotBelieved) as refused:
        two.reconciler(two.way).run(CHENGDU, dry_run=True)

    assert refused.value.facts["fault"] == "does-not-add-up"


def test_a_peer_that_tells_of_other_tables_is_refused(two: Two) -> None:
    with pytest.raises(PeerNotBelieved) as refused:
        two.reconciler(Other(two)).run(CHENGDU, dry_run=True)

    assert refused.value.facts["fault"] == "does-not-add-up"


class Other:
    """Chengdu tells of a table that nobody here knows."""

    here = ORIGIN

    def __init__(self, two: Two) -> None:
        node = two.host
        self.answers = Answering(
            CHENGDU,
            node.keys,
            node.clock,
            RULES,
            node.relay.granting.open_to,
            lambda *_: Snap([]),
            lambda *_: None,
        )
        self.asker = node.relay.peer(ORIGIN)

    def post(self, wire: bytes) -> bytes:
        return self.answers.answer(self.asker, wire)

    def fetch(self) -> int:
        return 0


def test_a_row_that_nothing_explains_is_called_a_contradiction(two: Two) -> None:
    def lie(wire: bytes) -> bytes:
        sealed = Sealed(wire)
        if sealed.kind != ToldRows.KIND:
            return wire
        told = sealed.open(ToldRows, two.host.keys.verify_key)
        rows = tuple(row.model_copy(update={"edited": False}) for row in told.rows)
        return told.model_copy(update={"rows": rows}).signed(two.host.keys)

    edit(two.host, "UPDATE custody_flow SET state = 'x'")
    two.way.change = lie

    report = two.reconciler(two.way).run(CHENGDU, dry_run=True)

    (found,) = report.first.values()
    assert (found.cause, found.at) == ("contradiction", CHENGDU)
    assert two.reconcile(CHENGDU, ORIGIN).equal
    two.made.settle()


def test_a_stranger_to_a_member_is_told_nothing(two: Two) -> None:
    way = ByHand(two.made, SHENZHEN, ORIGIN)
    node = two.made[SHENZHEN]
    comparison = Comparison(SHENZHEN, node.relay.peer(ORIGIN), node.keys, way.post, node.clock)
    names = (("roster_flow", two.outflow), ("facts", two.outflow), ("contact", uuid4()))

    opened, _ = comparison.open(())
    rows = comparison.rows(tuple(RowName(model=m, key=k) for m, k in names))

    assert {model.rows for model in opened.models} == {0}
    for row in rows:
        assert (row.fields, row.facts, row.subject, row.lacking) == (None, (), None, ())


# Last, because it fills the tables.


def test_a_thousand_members_take_two_letters_more_than_ten(two: Two) -> None:
    edit(two.origin, "UPDATE roster_person SET branch = '别处'")
    two.reconcile(dry_run=True)
    few = len(two.way.asked)
    many(two, 1_000)

    report = two.reconcile(dry_run=True)

    assert report.last is not None
    assert len(report.last.snapshot.hashes["roster_person"]) == 1_001
    assert [d.fields for (m, _), d in report.first.items() if m == "roster_person"] == [("branch",)]
    assert few == 3
    assert len(two.way.asked) <= few + 2
    assert max(map(len, [*two.way.asked, *two.way.told])) < BATCH_BYTES


def many(two: Two, number: int) -> None:
    """Members in the tables of both sides, as if the origin had told of them."""
    members = [uuid4() for _ in range(number)]
    head = two.origin.lanes.head_out(CHENGDU).number
    for node in (two.origin, two.host):
        with node.database.connection() as conn:
            conn.execute(
                "INSERT INTO roster_person (member, keeper, branch)"
                " SELECT m, %s, '东沟村' FROM unnest(%s::uuid[]) AS m",
                (ORIGIN, members),
            )
    edit(two.host, "UPDATE lane_in SET number = number + %s, root = %s", number, NO_ROOT)
    with two.origin.database.connection() as conn:
        conn.execute(
            "INSERT INTO lane_out SELECT %s, %s + n, m, 1, 1, decode(%s, 'hex')"
            " FROM unnest(%s::uuid[]) WITH ORDINALITY AS t (m, n)",
            (CHENGDU, head, NO_ROOT, members),
        )
