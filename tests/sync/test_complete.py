"""完整性: ranges of a ledger of many tiles, each proved, none believed once its edges change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from domain.records import leaf
from domain.tree import ours
from sync.log import SizesUnfit
from sync.verifier import complete, notes
from sync.verifier.complete import Proved, Stretch, Told
from sync.verifier.defect import Defect
from sync.verifier.notes import Checkpoint
from sync.verifier.records import record
from tests.support.ledger_file import Ledger

SIZE = 2_000
RANGES = 60
WIDEST = 300
SEEDS = (20261126, pytest.param(None, marks=pytest.mark.slow))


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return Ledger(SIZE, checkpoints=30)


@pytest.fixture(params=SEEDS)
def rng(request: pytest.FixtureRequest) -> random.Random:
    seed = request.param or random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    return random.Random(seed)


def sizes(ledger: Ledger) -> list[int]:
    return [notes.read(each.decode(), "").size for each in ledger.log.signed_up_to(SIZE)]


def checkpoint(ledger: Ledger, size: int) -> Checkpoint:
    return notes.read(ledger.log.signed_of(size).note.decode(), "")


def stretch(ledger: Ledger, after: int, upto: int, size: int) -> Stretch:
    return Stretch(after, upto, *ledger.log.around(after, upto, size))


def told(ledger: Ledger, after: int, upto: int, question: dict[str, str]) -> list[Told]:
    """Entries as a file tells them."""
    made = []
    for place in range(after, upto):
        stored = ledger.database.entries[place].record
        stream, version = stored.originator_id, stored.originator_version
        found = record(place, stream, version, stored.topic, stored.state)
        said: dict[str, Any] = {
            "position": place + 1,
            "stream": str(stream),
            "version": version,
            "topic": stored.topic,
            "state": stored.state.decode(),
        }
        if fits := complete.fits(found, question):
            said |= complete.columns(found)
        made.append(Told(said, ours().leaf(leaf(stored)), fits))
    return made


def naive(entry: Any, question: dict[str, str]) -> bool:
    """The same without the verifier's own eyes: this ledger's states are all spelled alike."""
    state, topic = entry.state.decode(), entry.topic
    wanted = {name: f'"keeper":"{value}"' for name, value in question.items() if name == "org"}
    return topic.startswith(question.get("topic", "")) and all(w in state for w in wanted.values())


def some(ledger: Ledger, rng: random.Random) -> tuple[int, int, int, dict[str, str]]:
    """A range under a checkpoint, also an empty one or one to its end; and a question."""
    size = rng.choice(sizes(ledger))
    after = rng.randrange(size + 1)
    upto = rng.choice((after, min(size, after + WIDEST), rng.randrange(after, size + 1)))
    questions: Sequence[dict[str, str]] = (
        {},
        {"org": "chengdu"},
        {"org": "jiuquan", "topic": "contact."},
        {"topic": "signet."},
        {"person": "nobody"},
    )
    return after, min(upto, after + WIDEST), size, dict(rng.choice(questions))


@pytest.mark.slow
def test_every_range_under_every_checkpoint_holds(ledger: Ledger, rng: random.Random) -> None:
    for _ in range(RANGES):
        after, upto, size, question = some(ledger, rng)
        entries = told(ledger, after, upto, question)

        around = stretch(ledger, after, upto, size)
        proved: Proved = complete.check(around, question, checkpoint(ledger, size), entries)

        assert len(around.left) + len(around.right) <= 2 * size.bit_length()
        if "person" not in question:
            stored = [each.record for each in ledger.database.entries[after:upto]]
            places = [after + n for n, each in enumerate(stored) if naive(each, question)]
            assert [made.place for made, _ in proved.rows] == places
        assert len(proved.rows) + len(proved.passed) == upto - after


@pytest.mark.slow
def test_a_range_moved_cut_or_under_another_root_does_not_hold(
    ledger: Ledger, rng: random.Random
) -> None:
    for _ in range(RANGES):
        after, upto, size, question = some(ledger, rng)
        around, said = stretch(ledger, after, upto, size), checkpoint(ledger, size)
        entries = told(ledger, after, upto, question)
        match rng.randrange(6):
            case 0 if around.left:
                around = around._replace(left=[*around.left[:-1], rng.randbytes(32)])
            case 1 if around.right:
                around = around._replace(right=around.right[1:])
            case 2 if entries:
                entries.pop(rng.randrange(len(entries)))
            case 3 if entries:
                at = rng.randrange(len(entries))
                entries.insert(at, entries[at])
            case 4:
                around = around._replace(after=around.after + 1, upto=around.upto + 1)
            case _:
                other = rng.choice([each for each in sizes(ledger) if each != size])
                said = checkpoint(ledger, other)

        with pytest.raises(Defect) as defect:
            pytest.fail(str(complete.check(around, question, said, entries)))
        assert defect.value.facts["where"].startswith("第 ")


def test_what_is_no_range_is_refused(ledger: Ledger) -> None:
    for after, upto, size in ((-1, 3, 10), (4, 3, 10), (3, 11, 10), (0, 1, SIZE + 1)):
        with pytest.raises(SizesUnfit):
            ledger.log.around(after, upto, size)
        with pytest.raises(Defect):
            complete.check(Stretch(after, upto, [], []), {}, _of(ledger, 10), [])


def _of(ledger: Ledger, size: int) -> Checkpoint:
    return checkpoint(ledger, SIZE)._replace(size=size)


def test_proofs_of_many_entries_are_those_of_each(ledger: Ledger) -> None:
    positions = [1, 2, 256, 257, 1_999, SIZE]

    found = ledger.log.inclusions(positions, SIZE)

    assert found == [ledger.log.inclusion(each, SIZE) for each in positions]
    assert ledger.log.inclusions([], SIZE) == []
    with pytest.raises(SizesUnfit):
        ledger.log.inclusions([1, SIZE + 1], SIZE)
