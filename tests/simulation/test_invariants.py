"""对不变式的检查: each invariant, on a history that was good until something in it was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.admission import Admission
from domain.erasure import State
from domain.inflow import Inflow
from domain.ledger import Entry, Receipt
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.transfer import Transfer
from sync.errors import Forged, KeyOver
from sync.fence import Raised
from sync.lane import ANSWERS_MAX
from sync.note import NoteForged
from sync.pushing import IN_FLIGHT_MAX
from tests.simulation import check_ledgers, check_transfers, checks, erasing, keys
from tests.simulation.affiliation import File, Passed
from tests.simulation.broken import Broken
from tests.simulation.check_transfers import held_once, known_alike
from tests.simulation.histories import live
from tests.simulation.watch import (
    Account,
    Care,
    Watch,
    bounded,
    durable,
    fact_of,
    legal,
    order,
)
from tests.simulation.world import Done, World
from tests.support.memory.stage import MemoryStage


@cache
def plain() -> int:
    """The seed of a history over HTTP, without attacks, with a confirmed handover."""
    for seed in range(300):
        made = live(MemoryStage(), seed)
        quiet = made.log is None and not made.restored and not made.plan.rates["attack"]
        quiet = quiet and not made.happened["erased"]
        if quiet and _confirmed(made) and not made.watch.poison:
            return seed
    raise AssertionError


@pytest.fixture
def world() -> World:
    """A good history of one's own."""
    return live(MemoryStage(), plain())


@cache
def transfer() -> int:
    """The seed of a history in which a file has gone on, unheard where it was, with its absence."""
    for seed in range(1_000):
        made = live(MemoryStage(), seed)
        for file in _gone(made)[:1]:
            last = made.watch.files.line(file.person)
            unheard = last and last.id not in made.watch.accounts[file.keeper].streams
            gone = unheard and _absences(made, file)
            if gone and not made.happened["erased"]:
                return seed
    raise AssertionError


@pytest.fixture
def moved() -> World:
    """The same, of a member who was transferred."""
    return live(MemoryStage(), transfer())


def _gone(world: World) -> list[File]:
    """Files that were released to a node."""
    return [file for file in world.watch.files.files.values() if file.to]


def _absences(world: World, file: File) -> list[UUID]:
    entries = world.watch.accounts[file.keeper].entries
    facts = [fact_of(entry) for entry in entries if entry.record.topic == "outflow.registered"]
    return [fact.originator_id for fact in facts if getattr(fact, "member", None) == file.id]


def _said(world: World, kind: type[Any]) -> Any:
    """One of the facts of a kind, as its keeper has recorded it."""
    for code, account in world.watch.accounts.items():
        for entry in account.entries:
            if isinstance(entry.fact, kind) and entry.fact.meta.keeper == code:
                return entry
    raise AssertionError


def _confirmed(world: World) -> list[tuple[str, Any]]:
    return [
        (code, fact_of(entry))
        for code, account in world.watch.accounts.items()
        for entry in account.entries
        if entry.record.topic == "outflow.confirmed" and fact_of(entry).meta.keeper == code
    ]


def broken(sentence: str, check: Callable[[], Any]) -> None:
    with pytest.raises(Broken, match=sentence):
        check()


def shared(world: World) -> tuple[Account, Account, UUID]:
    """A keeper, a peer, and a stream that both hold."""
    for ours in world.watch.accounts.values():
        for theirs in world.watch.accounts.values():
            for stream in theirs.streams:
                if theirs is not ours and theirs.keeper(stream) == ours.code:
                    return ours, theirs, stream
    raise AssertionError


def altered(entry: Entry, **said: Any) -> Entry:
    return replace(entry, record=replace(entry.record, **said))


def test_1_what_was_answered_and_is_not_there(world: World) -> None:
    account = world.watch.accounts[world.codes[0]]

    broken("Durable", lambda: durable(account, uuid4(), 1))
    world.done.append(Done(account.code, "x", Receipt(id=uuid4(), version=1, position=1)))
    broken("Durable", lambda: checks.answered_once(world))


def test_1_a_ledger_that_was_rewritten_or_cut(world: World) -> None:
    code = world.codes[0]
    database: Any = world.nodes[code].database
    account = world.watch.accounts[code]
    kept = database.entries[3]

    database.entries[3] = altered(kept, state=b"{}")
    broken("Durable: nothing is rewritten", lambda: checks.rewritten(account, world.nodes[code]))
    database.entries[3] = kept
    database.entries.pop()
    broken("Durable: nothing is gone", lambda: checks.rewritten(account, world.nodes[code]))


def test_2_what_did_not_arrive_or_arrived_as_something_else(world: World) -> None:
    ours, theirs, stream = shared(world)
    kept = theirs.streams.pop(stream)

    broken("Delivered: whoever", lambda: checks.delivered(ours, theirs, set()))
    theirs.streams[stream] = [altered(kept[0], state=kept[0].record.state + b" "), *kept[1:]]
    broken("Delivered: the same bytes", lambda: checks.delivered(ours, theirs, set()))
    theirs.streams[stream] = kept
    checks.delivered(ours, theirs, set())


def test_3_one_command_with_two_effects(world: World) -> None:
    account, opened = next(
        (account, entry)
        for account in world.watch.accounts.values()
        for entry in account.entries
        if entry.record.topic == "member.registered" and fact_of(entry).meta.keeper == account.code
    )
    account.entries.append(altered(opened, originator_id=uuid4()))

    broken("Once: one command", lambda: checks.answered_once(world))


@pytest.mark.parametrize("version", [1, 3, 4])
def test_4_a_version_again_or_left_out(world: World, version: int) -> None:
    account = Account(world.codes[0])
    entry = world.watch.accounts[world.codes[0]].entries[0]
    account.streams[entry.record.originator_id].append(entry)  # type: ignore[index]

    broken("Order: versions", lambda: order(account, altered(entry, originator_version=version)))
    moved = replace(entry, position=5)
    broken("Order: positions", lambda: order(account, moved))


def test_5_a_board_that_shows_another_carer(world: World) -> None:
    for code in world.codes:
        rows: Any = world.nodes[code].database.rows["custody_flow"]  # type: ignore[attr-defined]
        if not rows:
            continue
        row = next(iter(rows.values()))
        row["carer"] = "nobody"
        broken("Converged: the board", lambda code=code: checks._each_in_one_care(world, code))  # noqa: SLF001
        broken("Converged: both read", lambda: checks._read_models_agree(world))  # noqa: SLF001
        return
    raise AssertionError


def test_5_a_read_model_that_a_rebuild_would_change(world: World) -> None:
    world.seed = 0
    node = world.nodes[world.codes[0]]
    rows: Any = node.database.rows["history"]  # type: ignore[attr-defined]
    rows.pop(next(iter(rows)))

    broken("Converged: a rebuild", lambda: checks.read_models_stand(world))


def test_6_a_member_in_two_hands(world: World) -> None:
    [(code, fact), *_] = _confirmed(world)
    care = Care(code, code)

    broken("Conserved: confirmed while", lambda: care.step(fact))
    offered = next(
        f
        for f in world.watch.accounts[code].facts(fact.originator_id)
        if isinstance(f, Outflow.Offered) and f.offer == fact.offer
    )
    care.step(offered)
    broken("Conserved: one offer", lambda: care.step(offered))
    care.step(fact)
    broken("Conserved: one offer", lambda: care.step(offered))


def test_6_an_acceptance_nobody_answered(world: World) -> None:
    [(code, fact), *_] = _confirmed(world)
    accounts = world.watch.accounts
    accepted = next(
        entry
        for entry in accounts[fact.host].entries
        if entry.record.topic == Inflow.Accepted.TOPIC and digest(entry.record) == fact.acceptance
    )
    accounts[code].streams[fact.originator_id] = [
        entry for entry in accounts[code].streams[fact.originator_id] if fact_of(entry) != fact
    ]

    said = (accounts, fact.host, fact_of(accepted), fact.acceptance)
    broken("Conserved: each acceptance", lambda: checks.settled(*said))


def test_7_steps_that_nobody_may_take(world: World) -> None:
    [(code, fact), *_] = _confirmed(world)
    account = Account(code)
    care = Care(code, code, over=True)

    broken("Legal: over is over", lambda: care.step(fact))
    lapsed = Outflow.Lapsed(
        originator_id=fact.originator_id, originator_version=3, meta=fact.meta, offer=1
    )
    early = (1, "host", fact.meta.recorded_at + timedelta(days=1))
    broken("Legal: not yet due", lambda: Care(code, code, early).step(lapsed))
    broken("Legal: ended while", lambda: Care(code, code).step(lapsed))
    opening = lapsed.model_copy(update={"originator_version": 1})
    broken("Legal: how a stream opens", lambda: legal(account, opening))


def test_6_a_member_whom_nobody_holds_or_two_do(moved: World) -> None:
    files, file = moved.watch.files, _gone(moved)[0]
    following = next(each for each in files.files.values() if each.continues == file.id)
    last = files.line(file.person)
    assert last is not None

    broken("Conserved: in between", lambda: held_once(replace(last, to="somewhere")))
    following.last = "0" * 64
    broken("Conserved: it goes on where", lambda: files.line(file.person))
    following.continues = None
    broken("Conserved: one file", lambda: files.line(file.person))


def test_6_a_holder_whom_another_ledger_does_not_know(moved: World) -> None:
    files, file = moved.watch.files, _gone(moved)[0]
    last, account = files.line(file.person), moved.watch.accounts[file.keeper]
    assert last is not None
    known_alike(account, file.person, last, files.files)

    account.streams[file.id] = account.streams[file.id][:1]
    broken("Conserved: one holder", lambda: known_alike(account, file.person, last, files.files))
    account.streams.pop(file.id)
    told = Account(last.keeper)
    broken("Conserved: the holder", lambda: known_alike(told, file.person, last, files.files))


def test_6_an_admission_without_its_answer(moved: World) -> None:
    entry = _said(moved, Admission.Admitted)
    account = moved.watch.accounts[entry.fact.meta.keeper]
    told = (account, entry.fact, digest(entry.record))
    check_transfers.answered(*told)

    account.passed[entry.fact.transfer].answers.clear()
    broken("Conserved: each admission", lambda: check_transfers.answered(*told))


def test_7_a_step_that_is_none_of_a_transfers(moved: World) -> None:
    completed, sent = (_said(moved, kind).fact for kind in (Transfer.Completed, Transfer.Sent))
    approved = _said(moved, Transfer.Approved).fact
    released = _said(moved, Member.Released)

    broken("Legal: a step", lambda: Passed(state="over").step(sent))
    broken("Legal: dispatches", lambda: Passed(state="approved", dispatch=5).step(sent))
    broken("Legal: each level", lambda: Passed(state="deciding").step(approved))
    on_its_way = Passed(state="sent", to="there", dispatch=completed.dispatch)
    broken("Conserved: completed", lambda: on_its_way.step(completed))
    moved.watch.files.take(released, released.fact)
    later = released.fact.model_copy(update={"originator_version": 99})
    broken("Legal: released", lambda: moved.watch.files.take(released, later))


def test_2_history_that_stays_behind(moved: World) -> None:
    file = next(file for file in _gone(moved) if _absences(moved, file))
    accounts = moved.watch.accounts
    check_transfers.followed(accounts, file)

    accounts[str(file.to)].streams.pop(_absences(moved, file)[0])
    broken("Delivered: history", lambda: check_transfers.followed(accounts, file))


def test_8_an_honest_message_refused_by_a_rotation(world: World) -> None:
    one, other = world.codes[:2]
    wire, _ = world.nodes[other].relay.batch(one, 0)
    told = (world, (one, other), wire)

    broken("Delivered: a rotation", lambda: keys.refused(*told, Forged, Forged()))
    broken("Delivered: a rotation", lambda: keys.refused(*told, KeyOver, KeyOver()))
    broken("Authentic: a key", lambda: keys.refused(*told, Forged, None))


def test_8_two_who_know_a_node_by_different_keys(world: World) -> None:
    code = world.codes[0]
    world.rekeyed.add(code)
    keys.agreed(world)

    world.nodes[code].key_change.rotate(keys.WANG)
    broken("Authentic: one key signs", lambda: keys.agreed(world))
    world.nodes[code].keys.signers = world.nodes[code].keys.signers[:1]
    broken("Delivered: the key in use", lambda: keys.agreed(world))


def test_8_what_its_keeper_never_said(world: World) -> None:
    _, theirs, stream = shared(world)
    entry = theirs.streams[stream][0]
    forged = altered(entry, state=entry.record.state.replace(b'"20', b'"21', 1))

    broken("Authentic", lambda: world.watch.authentic(theirs, forged.record))
    world.watch.authentic(theirs, entry.record)


def test_9_what_is_held_outside_the_audience(world: World) -> None:
    ours, theirs, stream = shared(world)
    entry = theirs.streams[stream][0]
    world.watch.heard_by[stream].clear()

    broken("Scope", lambda: world.watch.scope(theirs, entry.record))
    alien = uuid4()
    theirs.streams[alien] = [altered(entry, originator_id=alien)]
    broken("Scope: nobody else", lambda: checks.delivered(ours, theirs, set()))


def test_9_a_key_that_was_not_granted(world: World) -> None:
    world.granted = dict.fromkeys(world.pairs, ())

    def opened() -> None:
        for pair in world.pairs:
            checks._opened_as_granted(world, *pair)  # noqa: SLF001

    broken("Scope: opened as granted", opened)


def test_10_a_second_root_at_a_number(world: World) -> None:
    world.watch.lane("a", "b", 3, "ab")
    world.watch.lane("a", "b", 3, "ab")

    broken("Append-only", lambda: world.watch.lane("a", "b", 3, "cd"))
    world.watch.acknowledged("a", "b", 3)
    broken("Durable: acknowledged", lambda: world.watch.acknowledged("a", "b", 2))


@cache
def signed() -> int:
    """The seed of a history in which two ledgers have been witnessed."""
    for seed in range(300):
        if live(MemoryStage(), seed).happened["cosigned"] > 3:
            return seed
    raise AssertionError


@pytest.fixture
def witnessed() -> World:
    """The same, of ledgers that were signed."""
    return live(MemoryStage(), signed())


def _cosigned(world: World) -> tuple[str, str]:
    """Whose ledger somebody has cosigned, and who."""
    return next(pair for pair in world.pairs if world.nodes[pair[0]].lanes.cosigned(pair[1])[1])


def test_10_a_second_root_of_a_size(witnessed: World) -> None:
    code, _ = _cosigned(witnessed)
    (epoch, size), root = next(iter(witnessed.watch.signed[code].items()))
    witnessed.watch.checkpoint(code, epoch, size, root)

    broken("Append-only: one root", lambda: witnessed.watch.checkpoint(code, epoch, size, b"x"))
    witnessed.watch.signed[code][epoch, size + 10_000] = root
    broken("Durable: signed", lambda: check_ledgers.signed_once(witnessed, code))


def test_10_a_checkpoint_of_what_does_not_stand_there(witnessed: World) -> None:
    code, _ = _cosigned(witnessed)
    account = witnessed.watch.accounts[code]

    account.entries[0] = altered(account.entries[0], state=b"{}")

    broken("Append-only: a checkpoint is", lambda: check_ledgers.signed_once(witnessed, code))


def test_10_a_witness_of_what_was_never_signed(witnessed: World) -> None:
    code, witness = _cosigned(witnessed)
    database: Any = witnessed.nodes[witness].database
    said = check_ledgers.signed_once(witnessed, code)
    check_ledgers.witnessed(witnessed, witness, code, said)

    broken("Append-only: w", lambda: check_ledgers.witnessed(witnessed, witness, code, {}))
    database.log_witnessed.clear()
    broken("Authentic: cosigned", lambda: check_ledgers.told_as_it_was(witnessed, code, witness))


def test_10_a_cosignature_of_another_text(witnessed: World) -> None:
    code, _ = _cosigned(witnessed)
    database: Any = witnessed.nodes[code].database
    kept = database.log_cosigned
    (epoch, size, line), said = next(iter(kept.items()))
    other = next(n for _, n in witnessed.watch.signed[code] if n != size)

    kept[epoch, other, line] = said

    with pytest.raises(NoteForged):
        check_ledgers.signed_once(witnessed, code)


def test_10_what_was_signed_and_does_not_stand_any_more(witnessed: World) -> None:
    code, _ = _cosigned(witnessed)
    at = min(witnessed.watch.signed[code])
    witnessed.watch.unkept[code].add(at)
    database: Any = witnessed.nodes[code].database
    database.checkpoints[:] = [each for each in database.checkpoints if each[:2] != at]
    check_ledgers.signed_once(witnessed, code)

    witnessed.watch.signed[code][at] = b"x"

    broken("Append-only: what was", lambda: check_ledgers.signed_once(witnessed, code))


def test_1_what_is_recorded_behind_a_fence(world: World) -> None:
    account = next(iter(world.watch.accounts.values()))
    fenced, known = Watch(world.codes), fact_of(account.entries[0])
    fenced.fenced.add(account.code)
    fenced.accounts[account.code] = Account(account.code)
    assert known.meta.keeper == account.code

    broken("Fenced: nothing new", lambda: fenced.look(world.nodes))


def test_1_a_fact_that_came_back_and_cannot_be_read(world: World) -> None:
    checks.reads_its_own(world, code := _confirmed(world)[0][0])
    keyring: Any = world.nodes[code].keyring
    keyring._database.subject_keys.clear()  # noqa: SLF001
    keyring._by_id.clear()  # noqa: SLF001

    broken("Durable: our own", lambda: checks.reads_its_own(world, code))


def test_10_an_honest_node_that_is_accused_or_fenced(witnessed: World) -> None:
    code, witness = _cosigned(witnessed)
    lanes = witnessed.nodes[code].lanes
    witnessed.nodes[code].fence.raised = Raised(witness, "a note", witnessed.now)

    broken("Durable: nobody", lambda: check_ledgers.unaccused(witnessed, code))
    lanes.keep_contradiction(witness, "split-view", witnessed.now, b"evidence")
    broken("Append-only: nobody", lambda: check_ledgers.unaccused(witnessed, code))


def test_11_what_was_set_aside_without_being_poison(world: World) -> None:
    code = world.codes[0]
    world.parked[code] = 1

    broken("Isolated: evidence of each", lambda: checks.isolated(world, code))
    world.parked[code] = 0
    entry = world.watch.accounts[code].entries[0]
    quarantine: Any = world.nodes[code].database.quarantine  # type: ignore[attr-defined]
    row = {"id": 1, "peer": "x", "at": 0, "reason": "x", "evidence": {}, "number": 1}
    where = {"stream": entry.record.originator_id, "version": 1, "topic": "x", "resolved_at": None}
    about = {"subject": None, "outflow": None}
    quarantine.append({**row, **where, **about, "wire": b"", "state": b""})
    broken("Isolated: nothing else", lambda: checks.isolated(world, code))


@cache
def forgotten() -> int:
    """The seed of a history at whose end somebody is erased, of whom another had a key."""
    for seed in range(100):
        if live(MemoryStage(), seed).happened["erased"]:
            return seed
    raise AssertionError


def test_12_what_is_left_of_an_erased_person() -> None:
    world = live(MemoryStage(), forgotten())
    code, erasure = next(
        (code, known)
        for code in world.codes
        for known in world.nodes[code].eraser.erasures()
        if known.keeper == code and known.state is State.COMPLETED
    )
    database: Any = world.nodes[code].database
    told = (world, code, erasure.person)
    erasing.opened_nowhere(*told)

    row = database.rows["roster_person"][next(s for s in erasure.streams)]
    row["name"] = "张三"
    broken("Erased: nothing is shown", lambda: erasing.opened_nowhere(*told))
    key = uuid4()
    database.subject_keys[key] = (key, erasure.person, "identity", code, 1, b"")
    broken("Erased: no key is kept", lambda: erasing.opened_nowhere(*told))
    world.watch.accounts[code].entries.reverse()
    broken("Erased: all had answered", lambda: erasing.answered(world, erasure.person))


def test_14_queues_beyond_their_limits() -> None:
    bounded({"peer": (ANSWERS_MAX, IN_FLIGHT_MAX)})

    broken("Bounded", lambda: bounded({"peer": (ANSWERS_MAX + 1, 0)}))
    broken("Bounded", lambda: bounded({"peer": (0, IN_FLIGHT_MAX + 1)}))
