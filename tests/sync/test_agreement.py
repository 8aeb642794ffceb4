"""对账: two nodes compare what both should know, say what differs, and sign that it is equal."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.agreement import causes, snapshot
from api.agreement.causes import SAID, Cause, Difference
from api.agreement.kept import check_paper, last, paper, proven_at
from api.agreement.reconcile import CUTS_MAX, PASSES_MAX, Report
from api.agreement.snapshot import take
from domain.agreement import Agreement
from domain.commands import (
    AdoptPolicy,
    CorrectIdentity,
    FindMember,
    RecognizeClaim,
    RecordContact,
    RecordPhone,
    RecordRelocation,
)
from domain.outflow import Outflow
from domain.policy import Policy, Terms
from domain.records import digest
from domain.values import DataClass
from projections import shared
from projections.shared import SHARED
from sync import authority, book_shared
from sync.book_shared import SharedBook, summed
from sync.card import read_card
from sync.compare import FACTS
from sync.errors import NotTheirTopic
from tests.api.support import number
from tests.support.federation import (
    CHENGDU,
    HOST_MAY_OPEN,
    ORIGIN,
    SHENZHEN,
    depart,
    hand_over,
    register,
)
from tests.support.stage import Staged
from tests.sync.reconciling import Two, edit


@pytest.fixture
def two(three: Staged) -> Two:
    """One member in the care of Chengdu."""
    made = Two(three)
    made.outflow = made.one_in_care(contacts=2)
    return made


def only(report: Report, model: str) -> Difference:
    (found,) = (each for (name, _), each in report.first.items() if name == model)
    return found


def member_of(two: Two) -> UUID:
    return two.origin.ledger.look_up(Outflow, two.outflow).member


# Equal.


@pytest.mark.slow
def test_every_table_of_a_life_is_compared(two: Two) -> None:
    salt, grants = b"s" * 32, two.origin.relay.granting.open_to(CHENGDU)

    taken = take(two.host, ORIGIN, salt, grants)

    counts = {name: len(hashes) for name, hashes in taken.hashes.items()}
    assert set(counts) == {shared.name for shared in SHARED} | {FACTS}
    empty = {name for name, count in counts.items() if not count}
    nothing = {"contact_policy", "custody_claim", "transfer", "transfer_answer"}
    assert empty == nothing, "Nobody was found or transferred, no policy adopted."
    assert counts["contact"] == 2


@pytest.mark.slow
def test_equal_sides_sign_a_certificate_that_both_keep(two: Two) -> None:
    report = two.reconcile()

    assert (report.equal, report.first, report.cured) == (True, {}, [])
    two.made.settle()
    ours, theirs = last(two.origin, CHENGDU), last(two.host, ORIGIN)
    assert ours is not None
    assert theirs is not None
    assert ours.certificate == theirs.certificate
    assert proven_at(two.origin, CHENGDU) == proven_at(two.host, ORIGIN) == ours.at
    assert proven_at(two.origin, SHENZHEN) is None
    for here, there in ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN)):
        copy = two.made[there].ledger.look_up(Agreement, Agreement.id_of(here, there))
        assert copy.keeper == here


@pytest.mark.slow
def test_a_certificate_holds_with_nothing_but_the_two_keys(two: Two) -> None:
    two.reconcile()
    kept = last(two.origin, CHENGDU)
    assert kept is not None

    said = check_paper(json.loads(json.dumps(paper(kept))), two.keys())

    assert set(said.parties) == {ORIGIN, CHENGDU}
    assert said.at == kept.at
    lanes = {lane.source: lane for lane in said.lanes}
    # The cut lies before the certificates themselves, which are facts of both lanes.
    assert lanes[ORIGIN].root == two.origin.lanes.root_out(CHENGDU, lanes[ORIGIN].number)
    assert lanes[CHENGDU].root == two.host.lanes.root_out(ORIGIN, lanes[CHENGDU].number)
    assert {m.name: m.rows for m in said.models}["contact"] == 2


@pytest.mark.slow
def test_a_second_certificate_follows_the_first(two: Two) -> None:
    two.reconcile()
    first = proven_at(two.origin, CHENGDU)
    two.made.settle()

    report = two.reconcile(CHENGDU, ORIGIN)

    assert report.equal, report.first
    assert first is not None
    assert (proven_at(two.origin, CHENGDU) or first) > first


@pytest.mark.slow
def test_a_dry_run_changes_nothing(two: Two) -> None:
    edit(two.origin, "UPDATE contact SET by = 'x' WHERE on_day = '2025-05-01'")
    heads = [node.ledger.head for node in two.made.nodes.values()]

    report = two.reconcile(dry_run=True)

    assert not report.equal
    assert len(report.first) == 1
    assert [node.ledger.head for node in two.made.nodes.values()] == heads
    assert not two.reconcile(dry_run=True).equal


@pytest.mark.slow
def test_a_policy_and_a_claim_are_compared_too(two: Two) -> None:
    """The policy counts the days of both, and a claim has its answer on a stream of its own."""
    two.origin.service.execute(
        AdoptPolicy(terms=Terms(contact_interval_days=14), effective_from=date(2025, 1, 1))
    )
    found = two.host.service.execute(FindMember(origin=ORIGIN, name="王五"))
    two.made.settle()
    outflow = depart(two.origin, register(two.origin, number()))
    two.origin.service.execute(RecognizeClaim(inflow=found.id, outflow=outflow))
    two.made.settle()
    assert two.reconcile().equal

    edit(two.host, "UPDATE contact_policy SET days = 7")
    edit(two.origin, "UPDATE custody_claim SET answer = 'refused'")
    report = two.reconcile(dry_run=True)

    policy, claim = only(report, "contact_policy"), only(report, "custody_claim")
    assert (policy.at, policy.fields, policy.stream) == (CHENGDU, ("days",), Policy.id_of(ORIGIN))
    assert (claim.at, claim.fields) == (ORIGIN, ("answer",))


@pytest.mark.slow
def test_a_member_who_moved_on_is_compared_with_either_host(two: Two) -> None:
    moved = {"outflow": two.outflow, "destination": "广东省深圳市", "moved_on": "2025-06-02"}
    two.origin.service.execute(RecordRelocation.model_validate(moved))
    two.made.settle()
    hand_over(two.made, two.outflow, SHENZHEN, 2)

    for there in (CHENGDU, SHENZHEN):
        report = two.reconcile(ORIGIN, there)
        assert report.equal, report.first


# What each may open.


@pytest.mark.slow
def test_what_was_not_granted_is_not_compared(two: Two) -> None:
    """The origin grants identity and contact; the family's notes are in no table at all."""
    two.made[ORIGIN].service.execute(
        CorrectIdentity(member=member_of(two), name="张四", reason="录入错误")
    )
    two.made.settle()
    narrow(two, DataClass.CONTACT)

    assert two.reconcile().equal


def narrow(two: Two, *grants: DataClass) -> None:
    two.origin.enrol(read_card(two.host.card()), grants)
    two.made.settle()


@pytest.mark.slow
def test_a_class_granted_later_is_passed_without_being_asked_for(three: Staged) -> None:
    two = Two(three)
    narrow(two, DataClass.IDENTITY)
    two.outflow = two.one_in_care()
    narrow(two, *HOST_MAY_OPEN)

    report = two.reconcile()

    assert (report.equal, report.first) == (True, {})


@pytest.mark.slow
def test_a_key_that_was_lost_is_missed_sent_again_and_then_equal(two: Two) -> None:
    edit(two.host, "DELETE FROM subject_key WHERE data_class = 'contact' AND NOT sealing")
    two.host = two.made.restart(CHENGDU)
    two.host.projector.rebuild("roster")

    report = two.reconcile()

    found = only(report, "roster_person")
    assert (found.cause, found.at, found.fields) == (Cause.KEY_MISSING, CHENGDU, ("phone",))
    assert found.member == member_of(two)
    assert report.cured == ["keys sent again with the next fact: 1"]
    two.one_in_care()
    healed = two.reconcile(CHENGDU, ORIGIN)
    assert (healed.equal, healed.cured) == (True, ["rebuilt roster"])


# Each cause, produced for real.


@pytest.mark.slow
@pytest.mark.parametrize("side", [ORIGIN, CHENGDU])
def test_an_edited_row_is_named_with_member_and_field_and_rebuilt(two: Two, side: str) -> None:
    edit(two.made[side], "UPDATE roster_person SET branch = '别处', name = '李四'")

    seen = only(two.reconcile(ORIGIN, CHENGDU, dry_run=True), "roster_person")
    report = two.reconcile(side, CHENGDU if side == ORIGIN else ORIGIN)

    assert (seen.cause, seen.at, seen.fields) == (Cause.MODEL_EDITED, side, ("branch", "name"))
    assert (seen.member, seen.row) == (member_of(two), "differs")
    assert seen.last_here is not None
    assert seen.last_here.digest == digest(two.origin.ledger.stream(member_of(two))[-1])
    assert (report.equal, report.cured) == (True, ["rebuilt roster"])


@pytest.mark.slow
@pytest.mark.parametrize("side", [ORIGIN, CHENGDU])
def test_a_row_that_was_removed_is_named_and_rebuilt(two: Two, side: str) -> None:
    edit(two.made[side], "DELETE FROM custody_flow")

    report = two.reconcile(side, CHENGDU if side == ORIGIN else ORIGIN)

    found = only(report, "custody_flow")
    assert (found.cause, found.at, found.row) == (Cause.MODEL_EDITED, side, "missing-here")
    assert (found.outflow, found.member) == (two.outflow, member_of(two))
    assert report.equal


@pytest.mark.slow
def test_a_row_without_a_fact_is_named_and_removed(two: Two) -> None:
    edit(
        two.origin,
        "INSERT INTO contact (contact, outflow, org) VALUES (%s, %s, %s)",
        uuid4(),
        two.outflow,
        CHENGDU,
    )

    report = two.reconcile()

    found = only(report, "contact")
    assert (found.cause, found.at, found.row) == (Cause.MODEL_EDITED, ORIGIN, "missing-there")
    assert (report.equal, report.cured) == (True, ["rebuilt contacts"])


@pytest.mark.slow
def test_what_the_peer_must_mend_is_left_to_the_peer(two: Two) -> None:
    edit(two.host, "UPDATE attendance SET mark = 'absent'")

    report = two.reconcile(ORIGIN, CHENGDU)

    found = only(report, "attendance")
    assert (found.cause, found.at, found.fields) == (Cause.MODEL_EDITED, CHENGDU, ("mark",))
    assert not report.equal
    assert proven_at(two.origin, CHENGDU) is None
    assert two.reconcile(CHENGDU, ORIGIN).equal


@pytest.mark.slow
def test_a_fact_gone_from_the_receivers_ledger_is_a_finding(two: Two) -> None:
    (contact, *_) = two.origin.database.rows("SELECT contact FROM contact ORDER BY on_day", {})
    edit(two.origin, "DELETE FROM stored_events WHERE originator_id = %s", contact["contact"])

    report = two.reconcile()

    found = only(report, FACTS)
    assert (found.cause, found.at, found.stream) == (Cause.FACT_GONE, ORIGIN, contact["contact"])
    (missing,) = found.missing
    assert (missing.at, missing.version, missing.topic) == (ORIGIN, 1, "contact.made")
    assert found.outflow == two.outflow
    assert not report.equal


@pytest.mark.slow
def test_a_fact_in_the_middle_of_a_stream_is_missed_too(two: Two) -> None:
    stream = two.outflow
    edit(
        two.host,
        "DELETE FROM stored_events WHERE originator_id = %s AND originator_version = 2",
        stream,
    )

    report = two.reconcile()

    found = only(report, FACTS)
    assert (found.cause, found.at) == (Cause.FACT_GONE, CHENGDU)
    assert [(m.at, m.version) for m in found.missing] == [(CHENGDU, 2)]
    # The read model was right before the ledger was edited, and is left as it is.
    assert not report.equal


@pytest.mark.slow
def test_a_fact_with_other_bytes_is_a_finding(two: Two) -> None:
    edit(
        two.host,
        "UPDATE stored_events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
        " '东沟村', '西沟村'), 'UTF8') WHERE originator_id = %s AND originator_version = 1",
        member_of(two),
    )

    report = two.reconcile()

    assert (only(report, FACTS).cause, only(report, FACTS).at) == (Cause.FACT_DIFFERS, CHENGDU)
    assert not report.equal


@pytest.mark.slow
def test_a_quarantined_fact_is_named_as_such(two: Two) -> None:
    def refuse(*_: Any) -> None:
        raise NotTheirTopic(topic="member.phone_recorded")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authority, "check_author", refuse)
        two.origin.service.execute(RecordPhone(member=member_of(two), phone="13900008888"))
        two.made.settle()

    report = two.reconcile()

    found = only(report, FACTS)
    assert (found.cause, found.at, found.member) == (Cause.FACT_PARKED, CHENGDU, member_of(two))
    assert [m.topic for m in found.missing] == ["member.phone_recorded"]


@pytest.mark.slow
@pytest.mark.parametrize("why", ["stopped", "behind"])
def test_a_read_model_that_stands_still_is_named_and_rebuilt(two: Two, why: str) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    roster = two.origin.projector.projections["roster"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roster, "project", fail)
        two.origin.service.execute(RecordPhone(member=member_of(two), phone="13900006666"))
        two.made.settle()
    if why == "behind":
        two.origin.projector.stopped.clear()

    seen = only(two.reconcile(dry_run=True), "roster_person")
    report = two.reconcile()

    assert (str(seen.cause), seen.at, seen.fields) == (f"model-{why}", ORIGIN, ("phone",))
    assert (report.equal, report.cured) == (True, ["rebuilt roster"])
    assert two.origin.projector.stopped == {}


@pytest.mark.slow
def test_a_read_model_that_cannot_be_rebuilt_says_so(two: Two) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    roster = two.origin.projector.projections["roster"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roster, "project", fail)
        two.origin.service.execute(RecordPhone(member=member_of(two), phone="13900006666"))
        two.made.settle()

        report = two.reconcile()

    assert not report.equal
    assert report.failed == ["rebuild roster: RuntimeError: no"]


@pytest.mark.slow
def test_a_lane_that_is_behind_is_fetched(two: Two) -> None:
    said = {"outflow": two.outflow, "on": "2025-07-01", "method": "电话", "by": "李"}
    two.host.service.execute(RecordContact.model_validate(said))
    two.host.settle()

    report = two.reconcile()

    # No worker runs here: what was fetched is applied by the rebuild.
    assert (report.equal, report.cured) == (True, ["fetched 1", "rebuilt contacts"])
    found = only(report, "contact")
    assert (found.cause, found.at, found.row) == (Cause.LANE_BEHIND, ORIGIN, "missing-here")
    assert [(m.at, m.topic) for m in found.missing] == [(ORIGIN, "contact.made")]
    assert two.origin.database.rows("SELECT * FROM contact WHERE on_day = '2025-07-01'", {})


@pytest.mark.slow
def test_a_peer_whose_lane_is_behind_is_named(two: Two) -> None:
    two.origin.service.execute(RecordPhone(member=member_of(two), phone="13900004444"))
    two.origin.settle()

    report = two.reconcile()

    found = only(report, "roster_person")
    assert (found.cause, found.at, found.fields) == (Cause.LANE_BEHIND, CHENGDU, ("phone",))
    assert [(m.at, m.topic) for m in found.missing] == [(CHENGDU, "member.phone_recorded")]
    assert two.reconcile(CHENGDU, ORIGIN).equal


@pytest.mark.slow
def test_every_cause_is_said_in_both_languages_with_what_to_do() -> None:
    assert set(SAID) == set(Cause)
    for said, mend in SAID.values():
        assert "\u4e00" <= said[0] <= "\u9fff"
        assert said.isascii() is mend.isascii() is False


# Bounds.


@pytest.mark.slow
def test_more_rows_than_are_compared_are_refused(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "ROWS_MAX", 1)

    with pytest.raises(shared.TooMuchShared) as refused:
        two.reconcile()

    assert refused.value.facts == {"table": "contact", "maximum": 1}


@pytest.mark.slow
def test_a_long_tail_counts_as_behind(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "TAIL_MAX", 3)
    edit(two.host, "UPDATE read_model SET position = position - 4 WHERE name = 'contacts'")
    for node in (two.origin, two.host):
        with node.database.connection() as conn:
            conn.execute(
                "UPDATE relay SET position = (SELECT max(notification_id) FROM stored_events)"
            )

    taken = take(two.host, ORIGIN, b"s" * 32, (), lambda: None)

    assert [(each.model, each.because) for each in taken.waiting] == [("contacts", "behind")]


@pytest.mark.slow
def test_keys_are_sent_again_so_many_at_once(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_shared, "REGRANT_MAX", 2)
    head = two.origin.lanes.head_out(CHENGDU).number

    sent = SharedBook(two.origin.database).regrant(CHENGDU, [uuid4() for _ in range(5)])

    assert sent == 2
    query = "SELECT key FROM lane_grant WHERE number > %(head)s"
    assert len(two.origin.database.rows(query, {"head": head})) == 2


@pytest.mark.slow
def test_of_a_long_stream_the_newest_facts_are_told(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies before both windows is not called missing; its hash is compared all the same."""
    for module in (snapshot, causes):
        monkeypatch.setattr(module, "VERSIONS_MAX", 2)
    for n in range(4):
        phone = f"1390000111{n}"
        two.origin.service.execute(RecordPhone(member=member_of(two), phone=phone))
    two.made.settle()
    edit(
        two.host,
        "DELETE FROM stored_events WHERE originator_id = %s AND topic = 'member.registered'",
        member_of(two),
    )

    found = only(two.reconcile(), FACTS)

    assert (found.missing, found.cause, found.at) == ((), Cause.FACT_DIFFERS, CHENGDU)


@pytest.mark.slow
def test_the_hash_over_facts_is_the_same_in_the_database_and_here(two: Two) -> None:
    book = SharedBook(two.host.database)

    streams = book.streams(ORIGIN)

    assert len(streams) >= 5
    for stream, total in streams.items():
        assert summed(book.shared(CHENGDU, ORIGIN, stream)) == total


@pytest.mark.slow
def test_another_history_of_a_lane_is_not_equal(two: Two) -> None:
    edit(two.host, "UPDATE lane_in SET root = %s", "0" * 64)

    report = two.reconcile()

    assert not report.equal
    assert report.first == {}
    assert report.last is not None
    assert [lane.same_root for lane in report.last.lanes] == [False, True]


@pytest.mark.slow
def test_a_comparison_gives_up_waiting_for_the_same_cut(two: Two) -> None:
    """The peer stands behind: five snapshots on each side, no more."""
    two.origin.service.execute(RecordPhone(member=member_of(two), phone="13900004444"))
    two.origin.settle()

    report = two.reconcile(dry_run=True)

    opened = [wire for wire in two.way.asked if wire.startswith(b"waystation/compare_open/")]
    assert len(opened) == CUTS_MAX
    assert not report.equal


@pytest.mark.slow
def test_one_run_compares_so_often(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is spoilt again behind every rebuild."""
    rebuild = two.origin.projector.rebuild

    def spoil(name: str) -> bool:
        rebuild(name)
        edit(two.origin, "UPDATE roster_person SET branch = '别处'")
        return True

    monkeypatch.setattr(two.origin.projector, "rebuild", spoil)
    edit(two.origin, "UPDATE roster_person SET branch = '别处'")

    report = two.reconcile()

    assert not report.equal
    assert report.cured == ["rebuilt roster"] * PASSES_MAX
