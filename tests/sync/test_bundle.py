"""数据包: a file is whole, ours and its sender's, or it changes nothing and says why."""

from __future__ import annotations

import random
import tracemalloc
from uuid import uuid4

import pytest

from api.service import Who
from domain.commands import OfferCare
from sync import bundle_file, lane_bundle
from sync.bundle_file import (
    BATCHES_MAX,
    BUNDLE_BYTES,
    HEADER_MAX,
    Cover,
    Header,
    pack,
    read_header,
    unpack,
)
from sync.bundle_report import Packed, Span, Taken
from sync.card import read_card
from sync.carrier import Carrier
from sync.envelope import BATCH_BYTES
from sync.errors import (
    Altered,
    ForAnother,
    LaneFault,
    Malformed,
    NotABundle,
    NotEnrolled,
    OtherVersion,
    RootsDiffer,
    TooLarge,
    Unopened,
)
from sync.inbox import Outcome
from sync.keys import NodeKeys
from tests.api.support import number
from tests.support.anew import cut_back
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN, depart, register
from tests.support.stage import Staged
from tests.sync.pen import Pen, receipt


def export(made: Staged, source: str, to: str, *, again: bool = False) -> Packed:
    packed = made[source].bundles.pack(to, again=again)
    assert packed is not None
    return packed


def offer(made: Staged, to: str = CHENGDU) -> None:
    """Something the origin must tell."""
    outflow = depart(made[ORIGIN], register(made[ORIGIN], number(), phone=None))
    made[ORIGIN].execute(OfferCare(outflow=outflow, host=to))


def fault(taken: Taken) -> LaneFault:
    (found,) = taken.faults
    assert taken.recorded == 0
    return found


def counts(taken: Taken) -> tuple[int, int, int]:
    return taken.recorded, taken.known, taken.parked


# What is right.


def test_a_bundle_brings_what_the_peer_lacks(three: Staged) -> None:
    offer(three)

    packed = export(three, ORIGIN, CHENGDU)
    taken = three[CHENGDU].bundles.take(packed.wire)

    assert packed.header[:3] == (ORIGIN, CHENGDU, 1)
    assert (packed.cover.first, packed.told, packed.more) == (1, 0, False)
    assert counts(taken) == (packed.cover.facts, 0, 0)
    assert taken.faults == []
    assert taken.answer
    assert three[CHENGDU].lanes.standing_in(ORIGIN).number == packed.cover.last


def test_the_answer_confirms_it(three: Staged) -> None:
    offer(three)
    last = export(three, ORIGIN, CHENGDU)
    three[CHENGDU].bundles.take(last.wire)

    taken = three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN).wire)

    assert taken.confirmed == last.cover.last
    assert three[ORIGIN].relay.standing(CHENGDU)[1].number == last.cover.last
    assert three[ORIGIN].lanes.passed(CHENGDU, 1)["sent"].note == "bundle 1"
    assert not taken.answer


def test_without_news_there_is_nothing_to_export(three: Staged) -> None:
    bundles = three[ORIGIN].bundles
    assert bundles.pack(CHENGDU) is None
    offer(three)

    first = export(three, ORIGIN, CHENGDU)

    assert bundles.pack(CHENGDU) is None
    second = export(three, ORIGIN, CHENGDU, again=True)
    assert second.header.number == 2
    assert second.cover.model_copy(update={"made_at": first.cover.made_at}) == first.cover


def test_a_bundle_begins_after_what_was_confirmed_on_any_lane(three: Staged) -> None:
    offer(three)
    three[ORIGIN].settle()
    three.carry(ORIGIN, CHENGDU)
    head = three[ORIGIN].lanes.head_out(CHENGDU).number
    offer(three)

    packed = export(three, ORIGIN, CHENGDU)
    taken = three[CHENGDU].bundles.take(packed.wire)

    assert packed.cover.first == head + 1
    assert counts(taken) == (packed.cover.facts, 0, 0)


def test_what_another_lane_has_brought_meanwhile_is_known(three: Staged) -> None:
    offer(three)
    packed = export(three, ORIGIN, CHENGDU)
    three.carry(ORIGIN, CHENGDU)

    taken = three[CHENGDU].bundles.take(packed.wire)

    assert counts(taken) == (0, packed.cover.facts, 0)
    assert taken.faults == []


def test_the_same_file_again_changes_nothing_and_says_so(three: Staged) -> None:
    offer(three)
    packed = export(three, ORIGIN, CHENGDU)
    first = three[CHENGDU].bundles.take(packed.wire)

    second = three[CHENGDU].bundles.take(packed.wire)

    assert (first.again, second.again) == (False, True)
    assert counts(second) == (0, packed.cover.facts, 0)


def test_a_lost_bundle_is_covered_by_the_next(three: Staged) -> None:
    offer(three)
    export(three, ORIGIN, CHENGDU)
    offer(three)

    second = export(three, ORIGIN, CHENGDU)
    taken = three[CHENGDU].bundles.take(second.wire)

    assert second.cover.first == 1
    assert taken.unseen == Span(1, 1)
    assert taken.missing is None
    assert taken.recorded == second.cover.facts


def test_files_in_the_wrong_order_name_what_is_missing(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = several(three, monkeypatch)
    station = three[CHENGDU].bundles

    early = station.take(files[2].wire)

    assert counts(early) == (0, 0, 0)
    assert early.missing == Span(1, files[1].cover.last)
    assert early.unseen == Span(1, 2)
    for file in files:
        taken = station.take(file.wire)
        assert (taken.recorded, taken.missing) == (file.cover.facts, None)


def several(made: Staged, monkeypatch: pytest.MonkeyPatch) -> list[Packed]:
    """One export in three files."""
    monkeypatch.setattr(lane_bundle, "BATCHES_MAX", 1)
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 3)
    for _ in range(2):
        offer(made)
    bundles = made[ORIGIN].bundles
    files = [export(made, ORIGIN, CHENGDU)]
    while files[-1].more:
        packed = bundles.pack(CHENGDU, go_on=True)
        assert packed is not None
        files.append(packed)
    assert len(files) >= 3
    assert bundles.pack(CHENGDU, go_on=True) is None
    return files


def test_what_one_file_cannot_hold_goes_into_the_next(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = several(three, monkeypatch)

    assert [file.header.number for file in files] == list(range(1, len(files) + 1))
    assert [file.cover.first for file in files[1:]] == [f.cover.last + 1 for f in files[:-1]]
    assert three[ORIGIN].bundles.pack(CHENGDU) is None


def test_an_export_that_was_broken_off_begins_anew(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_bundle, "BATCHES_MAX", 1)
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 3)
    offer(three)
    assert export(three, ORIGIN, CHENGDU).more

    assert export(three, ORIGIN, CHENGDU).cover.first == 1


def test_an_import_that_was_broken_off_goes_on_from_there(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 3)
    offer(three)
    packed, station = export(three, ORIGIN, CHENGDU), three[CHENGDU]
    accept, accepted = station.inbox.accept, []

    def die(wire: bytes) -> Outcome:
        if accepted:
            raise KeyboardInterrupt
        accepted.append(accept(wire))
        return accepted[0]

    monkeypatch.setattr(station.inbox, "accept", die)
    with pytest.raises(KeyboardInterrupt):
        station.bundles.take(packed.wire)

    taken = three.restart(CHENGDU).bundles.take(packed.wire)

    assert counts(taken) == (packed.cover.facts - 3, 3, 0)
    assert not taken.again


def test_a_node_that_lost_its_newest_facts_is_sent_them_again(three: Staged) -> None:
    offer(three)
    three[CHENGDU].bundles.take(export(three, ORIGIN, CHENGDU).wire)
    three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN).wire)
    three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN, again=True).wire)
    assert three[ORIGIN].bundles.pack(CHENGDU) is None
    three.clock.pass_(hours=1)
    want = restored(three)

    three[ORIGIN].bundles.take(want)

    again = export(three, ORIGIN, CHENGDU)
    assert again.cover.first == 1
    assert three[ORIGIN].bundles.pack(CHENGDU) is None
    assert three[CHENGDU].bundles.take(again.wire).recorded == again.cover.facts
    three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN).wire)
    assert three[ORIGIN].lanes.exported(CHENGDU).wanted is None


def test_an_old_bundle_that_comes_late_takes_nothing_back(three: Staged) -> None:
    offer(three)
    station, origin = three[CHENGDU].bundles, three[ORIGIN].bundles
    old = export(three, CHENGDU, ORIGIN, again=True).wire
    three.clock.pass_(minutes=1)
    station.take(export(three, ORIGIN, CHENGDU).wire)
    origin.take(export(three, CHENGDU, ORIGIN).wire)

    assert origin.take(old).faults == []

    assert origin.pack(CHENGDU) is None
    offer(three)
    assert export(three, ORIGIN, CHENGDU).cover.first > 1


def restored(made: Staged) -> bytes:
    """What Chengdu exports after a backup from before its first import was restored."""
    with made[CHENGDU].database.connection() as conn:
        conn.execute("DELETE FROM lane_in")
        conn.execute("DELETE FROM bookmarks WHERE application_name = 'lane:jiuquan'")
        conn.execute("DELETE FROM stored_events WHERE state LIKE %s", (b'%"keeper":"jiuquan"%',))
        cut_back(conn)
    made.restart(CHENGDU)
    return export(made, CHENGDU, ORIGIN, again=True).wire


def test_a_want_for_what_was_never_sent_is_refused(three: Staged) -> None:
    with three[CHENGDU].database.connection() as conn:
        conn.execute("INSERT INTO lane_in VALUES (%s, 9, %s, now(), 9, now())", (ORIGIN, "a" * 64))
    packed = export(three, CHENGDU, ORIGIN, again=True)

    taken = three[ORIGIN].bundles.take(packed.wire)

    assert [type(each) for each in taken.faults] == [RootsDiffer, RootsDiffer]
    assert three[ORIGIN].lanes.exported(CHENGDU).wanted is None


def test_a_refused_batch_is_told_to_its_sender(three: Staged, pen: Pen) -> None:
    offer(three)
    three[CHENGDU].bundles.take(export(three, ORIGIN, CHENGDU).wire)
    other = pen.wire(pen.activity(), before="0" * 64)

    taken = three[CHENGDU].bundles.take(hand_made(three, other, last=1))
    answer = three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN).wire)

    assert isinstance(fault(taken), RootsDiffer)
    assert taken.answer
    assert answer.they_refused is not None
    assert answer.they_refused.startswith("来件与此前确认的内容不一致")
    assert three[CHENGDU].bundles.pack(ORIGIN) is None


def test_an_entry_that_is_set_aside_is_counted(three: Staged, pen: Pen) -> None:
    wire = pen.wire(pen.activity(), pen.activity(keeper=SHENZHEN))

    taken = three[CHENGDU].bundles.take(hand_made(three, wire, last=2))

    assert counts(taken) == (1, 0, 1)


def test_another_file_of_the_same_number_is_noticed(three: Staged, pen: Pen) -> None:
    three[CHENGDU].bundles.take(hand_made(three, pen.wire(), last=0))

    taken = three[CHENGDU].bundles.take(hand_made(three, pen.wire(pen.activity()), last=1))

    assert (taken.again, taken.twin, taken.recorded) == (False, True, 1)


# What is wrong.


def hand_made(made: Staged, *messages: bytes, last: int = 0) -> bytes:
    """A bundle of the origin that holds whatever a test wants it to."""
    cover = Cover(first=1, last=last, made_at=NOW)
    header = Header(ORIGIN, CHENGDU, 1)
    return pack(header, cover, messages, made[ORIGIN].keys, made[CHENGDU].keys.sealing_key)


@pytest.mark.parametrize(
    ("wire", "kind", "said"),
    [
        (b"", NotABundle, "found=empty"),
        (b"PK\x03\x04rest of a zip", NotABundle, "found=zip, xlsx, docx"),
        (b"%PDF-1.7", NotABundle, "found=pdf"),
        (b"hello", NotABundle, "found=unknown"),
        (b"\x00" * 5000, NotABundle, "found=unknown"),
        (b"waystation/card/v1 jiuquan AAAA\n{}", NotABundle, "found=card"),
        (b"waystation/bundle/v2 jiuquan chengdu 1 AAAA\n", OtherVersion, "version=v2"),
        (b"waystation/bundle/v1 jiuquan chengdu 1", Altered, "where=header"),
        (b"waystation/bundle/v1 jiuquan chengdu 01 " + b"A" * 86 + b"==\n", Altered, "header"),
        (b"waystation/bundle/v1 jiuquan " + b"c" * 500, Altered, "where=header"),
    ],
)
def test_what_is_no_bundle_says_what_it_is(
    three: Staged, wire: bytes, kind: type[LaneFault], said: str
) -> None:
    found = fault(three[CHENGDU].bundles.take(wire))

    assert type(found) is kind
    assert said in str(found)
    assert found.mend in str(found)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(three: Staged) -> None:
    wire = hand_made(three)

    found = fault(three[CHENGDU].bundles.take(wire + b"x" * (BUNDLE_BYTES + 1 - len(wire))))

    assert isinstance(found, TooLarge)


def test_the_wrong_node_says_whose_it_is(three: Staged) -> None:
    offer(three)
    wire = export(three, ORIGIN, CHENGDU).wire

    for other in (SHENZHEN, ORIGIN):
        found = fault(three[other].bundles.take(wire))
        assert isinstance(found, ForAnother)
        assert (found.facts["receiver"], found.facts["sender"]) == (CHENGDU, ORIGIN)


def test_a_stranger_is_refused(three: Staged) -> None:
    header, keys = Header("stranger", CHENGDU, 1), NodeKeys.generate()
    cover = Cover(first=1, last=0, made_at=NOW)

    wire = pack(header, cover, (), keys, three[CHENGDU].keys.sealing_key)

    assert isinstance(fault(three[CHENGDU].bundles.take(wire)), NotEnrolled)


def test_a_bundle_signed_by_another_is_refused(three: Staged) -> None:
    cover = Cover(first=1, last=0, made_at=NOW)
    keys = three[SHENZHEN].keys

    wire = pack(Header(ORIGIN, CHENGDU, 1), cover, (), keys, three[CHENGDU].keys.sealing_key)

    assert isinstance(fault(three[CHENGDU].bundles.take(wire)), Altered)


def test_what_one_peer_sealed_another_cannot_send_as_its_own(three: Staged, pen: Pen) -> None:
    theirs = hand_made(three, pen.wire(pen.activity()), last=1)
    _, _, sealed = theirs.partition(b"\n")
    header, keys = Header(SHENZHEN, CHENGDU, 1), three[SHENZHEN].keys
    three.acquaint(CHENGDU, SHENZHEN)
    signature = keys.sign(bundle_file._signed(header, sealed))  # noqa: SLF001 - forged by hand.
    line = header.binding() + b" " + bundle_file.b64(signature).encode()

    assert isinstance(fault(three[CHENGDU].bundles.take(line + b"\n" + sealed)), Unopened)


def test_a_bundle_for_another_key_of_ours_cannot_be_opened(three: Staged) -> None:
    cover = Cover(first=1, last=0, made_at=NOW)
    header = Header(ORIGIN, CHENGDU, 1)

    wire = pack(header, cover, (), three[ORIGIN].keys, NodeKeys.generate().sealing_key)

    assert isinstance(fault(three[CHENGDU].bundles.take(wire)), Unopened)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_no_byte_can_be_altered(three: Staged, seed: int) -> None:
    chance = random.Random(seed)
    offer(three)
    wire, station = export(three, ORIGIN, CHENGDU).wire, three[CHENGDU]
    head = station.ledger.head

    for at in range(len(wire)):
        altered = bytearray(wire)
        altered[at] ^= chance.randrange(1, 256)
        taken = station.bundles.take(bytes(altered))
        assert taken.faults, (seed, at)
        assert (taken.recorded, taken.answer, taken.confirmed) == (0, False, None), (seed, at)

    assert station.ledger.head == head
    assert station.lanes.standing_in(ORIGIN).number == 0
    assert station.bundles.take(wire).faults == []


def change_keys(made: Staged, how: str) -> None:
    change, why = made[ORIGIN].key_change, {"reason": "电脑被盗", "second_person": "li"}
    change.rotate(Who(person="wang")) if how == "rotate" else change.revoke(
        Who(person="wang"), **why
    )
    made[ORIGIN].settle()


@pytest.mark.parametrize("how", ["rotate", "revoke"])
def test_a_change_of_keys_travels_as_a_file_too(three: Staged, how: str) -> None:
    change_keys(three, how)

    taken = three[CHENGDU].bundles.take(export(three, ORIGIN, CHENGDU).wire)

    assert (taken.recorded, taken.faults) == (2, [])
    assert three[CHENGDU].relay.peer(ORIGIN).verify_key == three[ORIGIN].keys.verify_key
    three[ORIGIN].bundles.take(export(three, CHENGDU, ORIGIN).wire)
    assert three[ORIGIN].key_change.waiting_for() == {SHENZHEN}


@pytest.mark.parametrize(("how", "faults"), [("rotate", []), ("revoke", [Altered])])
def test_a_file_on_its_way_counts_after_a_rotation_and_not_after_a_revocation(
    three: Staged, how: str, faults: list[type[LaneFault]]
) -> None:
    offer(three)
    before = export(three, ORIGIN, CHENGDU)
    change_keys(three, how)
    three.carry(ORIGIN, CHENGDU)

    taken = three[CHENGDU].bundles.take(before.wire)

    assert [type(each) for each in taken.faults] == faults
    assert taken.recorded == 0


def test_no_end_can_be_cut_off_and_none_added(three: Staged) -> None:
    offer(three)
    wire, station = export(three, ORIGIN, CHENGDU).wire, three[CHENGDU]

    for length in range(0, len(wire), 7):
        assert fault(station.bundles.take(wire[:length]))
    assert isinstance(fault(station.bundles.take(wire + b"\x00")), Altered)
    assert isinstance(fault(station.bundles.take(wire + wire)), Altered)


def test_what_was_refused_is_kept_as_evidence_by_its_first_line(three: Staged) -> None:
    offer(three)
    wire = export(three, ORIGIN, CHENGDU).wire

    three[CHENGDU].bundles.take(wire[:-1] + b"\x00")
    three[CHENGDU].bundles.take(b"no bundle at all")

    assert three[CHENGDU].lanes.refused_counts() == {(ORIGIN, "altered"): 1}
    (row,) = three[CHENGDU].lanes.quarantined(0, 10)
    kept = three[CHENGDU].lanes.evidence(row["id"])
    assert kept is not None
    assert kept[1] == wire[:HEADER_MAX]


@pytest.mark.parametrize(
    ("plain", "because"),
    [
        (b"", "no cover"),
        (b"\x00", "a length does not fit"),
        (b"\x00\x00\x00\x05ab", "a length does not fit"),
        (b"\xff\xff\xff\xff", "a length does not fit"),
        ((BATCH_BYTES + 1).to_bytes(4) + b"x" * (BATCH_BYTES + 1), "a length does not fit"),
        (b"\x00\x00\x00\x00" * (BATCHES_MAX + 4), "more than 128 batches"),
        (b"\x00\x00\x00\x02[]", None),
        (b"\x00\x00\x00\x02{}", None),
        (b'\x00\x00\x00\x0e{"a":1,"a":1}\n', "duplicate key"),
    ],
)
def test_what_a_peer_packs_wrongly_is_refused_as_a_whole(
    three: Staged, plain: bytes, because: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrap(_: bytes, sealing_key: str, binding: bytes) -> bytes:
        return sealed_up(plain, sealing_key, binding)

    sealed_up = bundle_file.wrap
    monkeypatch.setattr(bundle_file, "wrap", wrap)

    found = fault(three[CHENGDU].bundles.take(hand_made(three)))

    assert isinstance(found, Malformed)
    assert found.facts.get("because") == because


@pytest.mark.parametrize("last", [0, 5])
def test_a_cover_must_fit(three: Staged, pen: Pen, last: int) -> None:
    cover = Cover(first=3, last=last, made_at=NOW)
    keys, to = three[ORIGIN].keys, three[CHENGDU].keys.sealing_key
    wire = pack(Header(ORIGIN, CHENGDU, 1), cover, (pen.wire(),), keys, to)

    assert isinstance(fault(three[CHENGDU].bundles.take(wire)), Malformed)


@pytest.mark.parametrize("kind", ["card", "secret"])
def test_only_messages_of_a_lane_travel_in_it(three: Staged, pen: Pen, kind: str) -> None:
    good = pen.wire(pen.activity())

    taken = three[CHENGDU].bundles.take(hand_made(three, good, pen.body(b"{}", kind), last=1))

    assert isinstance(fault(taken), Malformed)
    assert pen.number == 0


def test_a_message_of_a_third_party_does_not_travel_in_it(three: Staged, pen: Pen) -> None:
    other = receipt(three[SHENZHEN], CHENGDU, 0, "0" * 64)

    taken = three[CHENGDU].bundles.take(hand_made(three, pen.wire(pen.activity()), other, last=1))

    assert isinstance(fault(taken), Malformed)
    assert pen.number == 0


def test_a_receipt_that_is_refused_does_not_hold_back_the_facts(three: Staged, pen: Pen) -> None:
    false = receipt(three[ORIGIN], CHENGDU, 7, "a" * 64)

    taken = three[CHENGDU].bundles.take(hand_made(three, false, pen.wire(pen.activity()), last=1))

    assert taken.recorded == 1
    assert [type(each) for each in taken.faults] == [RootsDiffer]


# The file.


def test_the_clear_names_whose_it_is_and_no_more(three: Staged) -> None:
    offer(three)

    wire = export(three, ORIGIN, CHENGDU).wire

    line, _, sealed = wire.partition(b"\n")
    form, sender, receiver, bundle, signature = line.split(b" ")
    assert (form, sender, receiver) == (b"waystation/bundle/v1", b"jiuquan", b"chengdu")
    assert bundle == b"1"
    assert len(signature) == 88
    assert b"outflow" not in sealed


def test_a_name_sorts_as_its_number_does() -> None:
    names = [Header(ORIGIN, CHENGDU, each).name for each in (9, 10, 100)]

    assert names == sorted(names)
    assert names[0] == "jiuquan-chengdu-000009.bundle"


def test_the_longest_header_fits() -> None:
    header = Header("a" * 40, "b" * 40, 2**53 - 1)
    keys, sealing_key = keys_for()
    keys.signers += NodeKeys.generate().signers

    wire = pack(header, Cover(first=1, last=0, made_at=NOW), (), keys, sealing_key)

    assert read_header(wire)[:3] == header[:3]
    assert wire.index(b"\n") < HEADER_MAX


def keys_for() -> tuple[NodeKeys, str]:
    keys = NodeKeys.generate()
    return keys, keys.sealing_key


def test_the_fullest_file_keeps_within_its_bounds() -> None:
    keys, sealing_key = keys_for()
    full = b"x" * BATCH_BYTES
    messages = [full] * (BATCHES_MAX + 2)
    header = Header(ORIGIN, CHENGDU, 1)
    cover = Cover(first=1, last=12_800, made_at=NOW)
    tracemalloc.start()

    wire = pack(header, cover, messages, keys, sealing_key)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(wire) <= BUNDLE_BYTES
    assert peak < 5 * BUNDLE_BYTES
    read = unpack(wire, read_header(wire), [keys.verify_key], keys)
    assert read == (cover, messages)


def test_a_broker_is_not_used_for_a_peer_that_files_reach(three: Staged) -> None:
    origin = three[ORIGIN]
    carrier = Carrier(origin.relay, origin.inbox, three.clock)
    carrier.look()
    assert carrier.lanes.keys() == {CHENGDU, SHENZHEN}

    origin.enrol(read_card(three[CHENGDU].card()), (), "bundle")

    assert carrier.look()
    assert carrier.lanes.keys() == {SHENZHEN}


def test_a_peer_nobody_enrolled_has_no_bundles(three: Staged) -> None:
    with pytest.raises(NotEnrolled):
        three[ORIGIN].bundles.pack(f"x{uuid4().hex[:8]}")
