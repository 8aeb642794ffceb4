"""对账信: what passes between two that compare, how much, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from domain.values import DataClass
from sync.answering import (
    ASKED_MAX,
    SESSION_S,
    SESSIONS_MAX,
    ComparingAlready,
    NoSuchSession,
    TooManyQuestions,
    lanes_of,
)
from sync.card import make_card
from sync.certificate import Certificate, CertificateInvalid, salt_hash, sign
from sync.compare import RANGES_MAX, ROWS_MAX, AskRanges, Open, Propose, RangeName, RowName, Waiting
from sync.comparing import DIFFERENCES_MAX, ROUNDS_MAX, NotAgreed, models_of
from sync.envelope import BATCH_BYTES
from sync.errors import Forged, LaneFault, Malformed, Misaddressed
from sync.ranges import LEAF_MAX, Branch, DoesNotAddUp, Hashes, Told
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN
from tests.sync.letters import KEYS, RULES, Letters, Snap

# Ranges.


def entries(number: int, seed: int) -> list[bytes]:
    drawn = random.Random(seed)
    return [drawn.randbytes(48) for _ in range(number)]


HELD = entries(30, 6)


@pytest.mark.parametrize("number", [0, 1, LEAF_MAX, LEAF_MAX + 1, 1_000])
def test_every_range_adds_up_to_what_it_was_summed_up_as(number: int) -> None:
    hashes = Hashes(entries(number, 1))

    def walk(prefix: str) -> int:
        told, branch = hashes.tell(prefix), hashes.branch(prefix)
        told.must_be(branch, prefix)
        if not told.parts:
            return len(told.entries)
        return sum(walk(prefix + digit) for digit in "0123456789abcdef")

    assert walk("") == number == hashes.branch().count
    for entry in entries(number, 1):
        assert hashes.find(entry[:16]) == entry[16:]
    assert hashes.find(b"\0" * 16) is None


def test_the_last_of_a_range_belongs_to_it() -> None:
    last = b"\xff" * 48

    assert Hashes([last]).within("f" * 32) == Hashes([last]).within("") == [last]


@pytest.mark.parametrize(
    "lie",
    [
        lambda told: told.model_copy(update={"entries": told.entries[1:]}),
        lambda told: told.model_copy(update={"entries": told.entries[::-1]}),
        lambda told: told.model_copy(update={"entries": told.entries[:1] * 16}),
        lambda _: Told(),
    ],
)
def test_a_leaf_that_was_changed_does_not_add_up(lie: Callable[[Told], Told]) -> None:
    hashes = Hashes(entries(LEAF_MAX, 2))

    with pytest.raises(DoesNotAddUp):
        lie(hashes.tell("")).must_be(hashes.branch(), "")


def test_parts_that_were_changed_do_not_add_up() -> None:
    hashes = Hashes(entries(500, 3))
    told, branch = hashes.tell(""), hashes.branch()
    other = Branch(count=told.parts[0].count, digest="0" * 64)

    for parts in ((other, *told.parts[1:]), told.parts[1:], (*told.parts[1:], told.parts[0])):
        with pytest.raises(DoesNotAddUp):
            Told(parts=parts).must_be(branch, "")


@pytest.mark.parametrize("seed", range(5))
def test_what_differs_is_found_wherever_it_is(seed: int) -> None:
    drawn = random.Random(seed)
    same = entries(drawn.choice([5, 40, 3_000]), seed)
    ours, theirs = list(same), list(same)
    changed = same[0][:16] + drawn.randbytes(32)
    ours[0] = changed
    added, gone = entries(1, seed + 100)[0], theirs.pop()
    theirs.append(added)

    found, asked = compare(ours, theirs)

    assert {name.key.bytes for name in found} == {e[:16] for e in (changed, added, gone)}
    assert asked <= 6, f"seed {seed}"


# How much passes.


def compare(ours: list[bytes], theirs: list[bytes]) -> tuple[tuple[RowName, ...], int]:
    """Compare two sets by the real letters, signed and checked; with how many were asked."""
    comparison = Letters(theirs).comparison()
    opened, _ = comparison.open(())
    differing = comparison.differing({"x": Hashes(ours)}, opened)
    return differing.rows, comparison.messages


@pytest.mark.slow
def test_the_letters_grow_with_the_logarithm_of_the_rows() -> None:
    """Sixteen to a digit: a hundred times the rows are two rounds more."""
    asked = {}
    for number in (10, 1_000, 100_000):
        held = entries(number, 7)
        ours = [held[0][:16] + b"x" * 32, *held[1:]]
        found, asked[number] = compare(ours, held)
        assert len(found) == 1

    assert asked == {10: 2, 1_000: 4, 100_000: 6}


def test_however_much_differs_a_letter_keeps_its_length() -> None:
    letters = Letters(entries(20_000, 8))
    comparison = letters.comparison()
    opened, _ = comparison.open(())

    differing = comparison.differing({"x": Hashes(entries(20_000, 9))}, opened)

    assert (len(differing.rows), differing.more) == (DIFFERENCES_MAX, True)
    assert comparison.messages <= 1 + ROUNDS_MAX
    assert max(letters.lengths) < BATCH_BYTES


def test_the_largest_letters_fit() -> None:
    full = Told(entries=("f" * 96,) * LEAF_MAX).model_dump_json()
    parts = Told(parts=(Branch(count=2**53 - 1, digest="f" * 64),) * 16).model_dump_json()

    assert max(len(full), len(parts)) * RANGES_MAX < BATCH_BYTES - 2_000


def test_rounds_without_end_come_to_an_end() -> None:
    """Keys that differ in the last digit alone make every round go on as long as one can."""
    stem = b"\xab" * 15
    held = [stem + bytes([n]) + b"h" * 32 for n in range(40)]
    letters = Letters(held)
    comparison = letters.comparison()
    opened, _ = comparison.open(())

    differing = comparison.differing({"x": Hashes([])}, opened)

    assert len(differing.rows) == 40
    assert comparison.messages <= 1 + ROUNDS_MAX


# And one that asks what it should not.


@pytest.mark.parametrize(
    "said", [{"receiver": SHENZHEN}, {"sender": SHENZHEN}], ids=["to another", "as another"]
)
def test_a_question_that_is_not_from_the_one_or_for_the_other_is_refused(
    said: dict[str, str],
) -> None:
    with pytest.raises((Misaddressed, Forged)):
        Letters(HELD).ask(Open, nonce="0" * 64, grants=(), **said)


def test_a_message_that_is_no_question_is_refused() -> None:
    card = make_card(KEYS[CHENGDU], CHENGDU, "x", "http://x.invalid", NOW)

    with pytest.raises(Malformed):
        Letters(HELD).post(card)


def test_a_question_without_a_session_is_refused() -> None:
    letters = Letters(HELD)
    ranges = (RangeName(model="x", prefix=""),)

    with pytest.raises(NoSuchSession):
        letters.ask(AskRanges, ranges=ranges)
    letters.open()
    letters.ask(AskRanges, ranges=ranges)
    letters.clock.pass_(seconds=SESSION_S + 1)
    with pytest.raises(NoSuchSession):
        letters.ask(AskRanges, ranges=ranges)


def test_a_session_answers_so_many_questions() -> None:
    letters = Letters(HELD)
    letters.open()

    for _ in range(ASKED_MAX):
        letters.ask(AskRanges, ranges=())
    with pytest.raises(TooManyQuestions):
        letters.ask(AskRanges, ranges=())


def test_one_snapshot_is_taken_at_a_time() -> None:
    letters = Letters(HELD)

    with letters.answers._taking, pytest.raises(ComparingAlready):  # noqa: SLF001
        letters.open()


def test_an_unknown_table_is_refused() -> None:
    letters = Letters(HELD)
    letters.open()

    with pytest.raises(Malformed):
        letters.ask(AskRanges, ranges=(RangeName(model="stored_events", prefix=""),))
    with pytest.raises(Malformed):
        letters.rows(("subject_key", uuid4()))


def test_more_ranges_or_rows_than_a_letter_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="ranges"):
        Letters(HELD).ask(AskRanges, ranges=(RangeName(model="x", prefix=""),) * (RANGES_MAX + 1))
    with pytest.raises(ValueError, match="rows"):
        Letters(HELD).rows(*((("x", uuid4()),) * (ROWS_MAX + 1)))


def proposal(letters: Letters, **change: Any) -> Certificate:
    opened = letters.open()
    said = Certificate(
        parties=(CHENGDU, ORIGIN),
        at=letters.clock(),
        rules=RULES,
        open=(tuple(DataClass), opened.grants),
        lanes=lanes_of(ORIGIN, CHENGDU, Snap(HELD).cut),
        models=opened.models,
        salt=salt_hash(b"salt"),
    )
    return said.model_copy(update=change)


def propose(said: Certificate, letters: Letters) -> bytes:
    text = said.text()
    return letters.ask(
        Propose, certificate=text, signature=sign(text, CHENGDU, KEYS[CHENGDU]).signature
    )


def test_a_node_signs_what_it_would_say_itself() -> None:
    letters = Letters(HELD)

    assert propose(proposal(letters), letters)
    assert [said[0] for said in letters.kept] == [CHENGDU]


def test_a_node_signs_nothing_else() -> None:
    letters = Letters(HELD)
    true = proposal(letters)
    late = true.at.replace(year=2027)
    models = models_of({"x": Hashes([])})
    lanes = tuple(lane.model_copy(update={"number": 7}) for lane in true.lanes)

    for change in (
        {"models": models},
        {"at": late},
        {"rules": "9"},
        {"lanes": lanes},
        {"open": ((), ())},
    ):
        with pytest.raises(NotAgreed):
            propose(true.model_copy(update=change), letters)


def test_a_node_signs_no_certificate_while_a_read_model_waits() -> None:
    letters = Letters(HELD, (Waiting(model="roster", because="behind"),))

    with pytest.raises(NotAgreed):
        propose(proposal(letters), letters)


def test_so_many_snapshots_are_kept_at_once() -> None:
    letters = Letters(HELD)

    def kept() -> dict[str, Any]:
        return letters.answers._sessions  # type: ignore[return-value]  # noqa: SLF001

    for number in range(SESSIONS_MAX):
        letters.open()
        kept()[f"other-{number}"] = kept().pop(CHENGDU)
    letters.open()
    assert len(kept()) == SESSIONS_MAX
    assert "other-0" not in kept()
    letters.clock.pass_(seconds=SESSION_S + 1)
    letters.open()
    assert set(kept()) == {CHENGDU}


def test_a_certificate_the_other_has_not_signed_is_not_countersigned() -> None:
    letters = Letters(HELD)
    text = proposal(letters).text()

    with pytest.raises(CertificateInvalid):
        letters.ask(Propose, certificate=text, signature="AAAA")


def test_every_fault_of_a_comparison_has_its_sentence() -> None:
    for kind in (DoesNotAddUp, NotAgreed, NoSuchSession, TooManyQuestions, ComparingAlready):
        assert issubclass(kind, LaneFault)
        assert "\u4e00" <= kind.sentence()[0] <= "\u9fff"
