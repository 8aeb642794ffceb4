"""台账审计: a whole ledger verifies offline, and no change of its file goes unnoticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from sync.checkpoint import Checkpoint
from sync.keys import NodeKeys
from sync.note import Note
from sync.verifier import ledger, notes
from sync.verifier.defect import Defect
from tests.support.ledger_file import ORG, Apart, Ledger, keys_of, leafed, state, unleafed

SIZE, QUICK, ALL = 300, 60, 10_000


@pytest.fixture(scope="module")
def made() -> Ledger:
    return Ledger(SIZE)


@pytest.fixture(scope="module")
def clean(made: Ledger) -> bytes:
    return made.file()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.ledger"


def known(made: Ledger) -> dict[str, list[str]]:
    return {ORG: [made.keys.verify_key]}


def verified(path: Path, raw: bytes, keys: dict[str, list[str]], **asked: object) -> ledger.Audited:
    path.write_bytes(raw)
    return ledger.verify(path, keys, **asked)  # type: ignore[arg-type]


def test_a_clean_ledger_holds(made: Ledger, clean: bytes, path: Path) -> None:
    said = verified(path, clean, known(made))

    assert (said.by, said.size, said.known) == (ORG, SIZE, True)
    assert said.checkpoints == len(made.database.checkpoints)
    assert [link.how for link in said.chain.links] == ["opened", "rotated"]
    assert Apart.of(clean).whole(made.keys) == clean


@pytest.mark.parametrize("size", [2, 255, 256, 257, 512, 513])
def test_no_false_alarm_at_any_size(size: int, path: Path) -> None:
    made = Ledger(size, seed=size, checkpoints=7)

    assert verified(path, made.file(), known(made)).size == size


# Tampering by whoever cannot sign: any byte. By whoever can: everything that facts are.

Way = Callable[[Apart, random.Random, Ledger], None]


def edit(file: Apart, rng: random.Random, _: Ledger) -> None:
    at = rng.randrange(len(file.leaves))
    changed = bytearray(file.leaves[at])
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    file.leaves[at] = bytes(changed)


def edit_and_hash(file: Apart, rng: random.Random, made: Ledger) -> None:
    edit(file, rng, made)
    file.hash_again()


def say_otherwise(file: Apart, rng: random.Random, _: Ledger) -> None:
    at = rng.randrange(1, len(file.leaves))
    record = unleafed(file.leaves[at])
    stream, version = record.originator_id, record.originator_version
    assert isinstance(stream, UUID)
    file.leaves[at] = leafed(stream, version, record.topic, state(n=-1))
    file.hash_again()


def swap(file: Apart, rng: random.Random, _: Ledger) -> None:
    one, other = rng.sample(range(len(file.leaves)), 2)
    leaves = file.leaves
    leaves[one], leaves[other] = leaves[other], leaves[one]
    file.hash_again()


def cut_middle(file: Apart, rng: random.Random, _: Ledger) -> None:
    del file.leaves[rng.randrange(len(file.leaves))]
    file.head["size"] -= 1
    file.hash_again()


def cut_tail(file: Apart, rng: random.Random, _: Ledger) -> None:
    sizes = {notes.read(each, "").size for each in file.notes}
    gone = next(n for n in iter(lambda: rng.randrange(1, 60), None) if SIZE - n not in sizes)
    del file.leaves[-gone:]
    file.head["size"] -= gone
    file.hash_again()


def insert(file: Apart, rng: random.Random, _: Ledger) -> None:
    stream = UUID(int=rng.getrandbits(128))
    file.leaves.insert(rng.randrange(SIZE), leafed(stream, 1, "contact.made", state(n=0)))
    file.head["size"] += 1
    file.hash_again()


def edit_tile(file: Apart, rng: random.Random, _: Ledger) -> None:
    file.hashes[rng.randrange(len(file.hashes))] = rng.randbytes(32)


def edit_checkpoint(file: Apart, rng: random.Random, made: Ledger) -> None:
    """Another root, signed with the real key."""
    at = rng.randrange(len(file.notes))
    said = notes.read(file.notes[at], "")
    other = Checkpoint(said.origin, said.size, rng.randbytes(32))
    file.notes[at] = bytes(other.signed(made.keys)).decode()


def forge_checkpoint(file: Apart, rng: random.Random, _: Ledger) -> None:
    """The right root, signed with another key."""
    at = rng.randrange(len(file.notes))
    said = Checkpoint.read(Note.read(file.notes[at].encode()).text)
    file.notes[at] = bytes(said.signed(keys_of(rng))).decode()


def swap_checkpoints(file: Apart, rng: random.Random, _: Ledger) -> None:
    one, other = rng.sample(range(len(file.notes)), 2)
    file.notes[one], file.notes[other] = file.notes[other], file.notes[one]


def replace_key(file: Apart, rng: random.Random, _: Ledger) -> None:
    other = keys_of(rng)
    record = unleafed(file.leaves[0])
    said = {"verify_key": other.verify_key, "sealing_key": other.sealing_key, "reads": {}}
    assert isinstance(record.originator_id, UUID)
    file.leaves[0] = leafed(record.originator_id, 1, record.topic, state(**said))
    file.hash_again()


SIGNED: tuple[Way, ...] = (
    edit,
    edit_and_hash,
    say_otherwise,
    swap,
    cut_middle,
    cut_tail,
    insert,
    edit_tile,
    edit_checkpoint,
    forge_checkpoint,
    swap_checkpoints,
    replace_key,
)


def tamper(clean: bytes, rng: random.Random, made: Ledger) -> tuple[str, bytes]:
    if rng.random() < 0.4:
        changed = bytearray(clean)
        at = rng.randrange(len(clean))
        match rng.randrange(3):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + rng.randrange(1, 500)]
            case _:
                changed[at:at] = rng.randbytes(rng.randrange(1, 5))
        return "bytes", bytes(changed)
    way, file = rng.choice(SIGNED), Apart.of(clean)
    way(file, rng, made)
    return way.__name__, file.whole(made.keys)


def tampered(number: int, seed: int, made: Ledger, clean: bytes, path: Path) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    rng = random.Random(seed)
    for n in range(number):
        way, raw = tamper(clean, rng, made)
        assert raw != clean, (n, way)
        with pytest.raises(Defect) as defect:
            pytest.fail(f"not noticed: {n} {way}: {verified(path, raw, known(made))}")
        assert defect.value.facts["where"], (n, way)


def test_no_change_goes_unnoticed(made: Ledger, clean: bytes, path: Path) -> None:
    tampered(QUICK, 20261126, made, clean, path)


@pytest.mark.slow
def test_no_change_of_ten_thousand_goes_unnoticed(made: Ledger, clean: bytes, path: Path) -> None:
    tampered(ALL, random.SystemRandom().randrange(2**32), made, clean, path)


@pytest.mark.parametrize("place", [0, 7, 150, 255, 256, SIZE - 1])
def test_the_first_bad_entry_is_named(made: Ledger, clean: bytes, path: Path, place: int) -> None:
    file = Apart.of(clean)
    for at in {place, SIZE - 1}:
        file.leaves[at] += b" "

    with pytest.raises(Defect) as defect:
        verified(path, file.whole(made.keys), known(made))
    assert defect.value.facts["where"].startswith(f"第 {place + 1} 条")


def test_where_tiles_were_made_to_fit_the_first_checkpoint_after_it_is_named(
    made: Ledger, clean: bytes, path: Path
) -> None:
    file = Apart.of(clean)
    say_otherwise(file, random.Random(5), made)
    at = next(n for n, each in enumerate(file.leaves) if each != Apart.of(clean).leaves[n])
    after = min(s.size for s in made.database.checkpoints if s.size > at)

    with pytest.raises(Defect) as defect:
        verified(path, file.whole(made.keys), known(made))
    assert defect.value.facts["where"].endswith(f"checkpoint {after}")


def test_a_ledger_rolled_back_is_caught_by_a_checkpoint_that_was_kept(
    made: Ledger, clean: bytes, path: Path
) -> None:
    file = Apart.of(clean)
    kept = notes.read(file.notes[-1], "kept")
    file.notes.pop()
    size = notes.read(file.notes[-1], "").size
    file.head["size"], file.leaves = size, file.leaves[:size]
    file.hash_again()
    rolled = file.whole(made.keys)

    assert verified(path, rolled, known(made)).size == size
    with pytest.raises(Defect, match="shorter"):
        verified(path, rolled, known(made), kept=[kept])
    assert verified(path, clean, known(made), kept=[kept]).size == SIZE


def test_another_organizations_key_is_not_believed(clean: bytes, path: Path) -> None:
    with pytest.raises(Defect, match="known key"):
        verified(path, clean, {ORG: [NodeKeys.generate().verify_key]})
    assert not verified(path, clean, {}).known


@pytest.mark.slow
def test_a_large_ledger_is_divided_and_its_upper_tiles_are_checked(path: Path) -> None:
    made = Ledger(70_000, checkpoints=50)
    clean = made.file()

    assert verified(path, clean, known(made)).size == 70_000
    file = Apart.of(clean)
    (level,) = file.upper
    level["hashes"] = "A" * 4 + level["hashes"][4:]
    with pytest.raises(Defect, match="tiles below"):
        verified(path, file.whole(made.keys), known(made))
    file = Apart.of(clean)
    file.leaves[40_000] += b" "
    with pytest.raises(Defect) as defect:
        verified(path, file.whole(made.keys), known(made))
    assert defect.value.facts["where"].startswith("第 40001 条")
