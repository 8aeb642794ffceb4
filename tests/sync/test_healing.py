"""复原: a restored node fetches back what its peers hold, and goes on, or begins a new epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from api.node import Node
from api.restoring import BackupRestored, NothingToRenew, NothingToTake
from api.worker import Worker
from domain.commands import HoldActivity, OfferCare, ReportLost, ShareOutflow
from domain.values import TEXT_MAX
from sync import healing, recording_back, returned, taking_back
from sync.card import read_card
from sync.envelope import ENTRIES_MAX, LaneEntry, Sealed
from sync.errors import AnotherEpoch, LaneHeld, Rewritten, told
from sync.ledger_said import RENEWAL_MAX
from sync.numbering import next_root
from sync.renewal import RENEWAL_DAYS, SHOWN_DAYS, Renewal, RenewalTooOld
from sync.returned import Returned
from tests.api.support import number
from tests.support.federation import (
    CHENGDU,
    HOST_MAY_OPEN,
    ORIGIN,
    SHENZHEN,
    accept,
    depart,
    register,
)
from tests.sync.pen import record_of
from tests.sync.restoring import CODES, WISH, Before, Drill, Hands, ledger, light

RESTORES = 100


class Crash(BaseException):
    """The node falls over."""


def drilled(seed: int, *, private: bool, healed: Callable[[Drill], None] = Drill.heal) -> Any:
    """A restore at a random moment; how it went on: the epoch, and whether anything was lost."""
    draw = Random(seed)
    with light() as made:
        drill = Drill(made, draw.choice(CODES), draw)
        drill.traffic(draw.randint(0, 10), private=private)
        drill.backup = made.stage.snapshot(drill.code)
        drill.traffic(draw.randint(1, 25), private=private)
        before = drill.fail()
        drill.hear()
        fenced = drill.node.fence.raised is not None
        healed(drill)
        drill.go_on()
        drill.traffic(10)
        drill.go_on()
        drill.check(before)
        return drill.node.log.epoch, fenced, len(before.held)


@pytest.mark.slow
def test_a_hundred_restores_lose_nothing_and_contradict_nothing() -> None:
    how: Counter[tuple[int, bool]] = Counter()
    for seed in range(RESTORES):
        print(f"seed {seed}")  # noqa: T201 - shown when it fails.
        epoch, fenced, _ = drilled(seed, private=seed % 2 == 0)
        how[epoch, fenced] += 1

    assert sum(how.values()) == RESTORES
    # Nothing was lost; it was made again; it could not be.
    assert {(1, False), (1, True), (2, True)} <= how.keys()


# A crash at every effect.


class Fuse:
    """Falls over before or after the n-th effect, then never again."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

    def __call__(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*said: Any, **named: Any) -> Any:
            self._burn()
            done = effect(*said, **named)
            self._burn()
            return done

        return fused

    def _burn(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Crash


EFFECTS = ("cut_lane", "renew", "lower_fence", "keep_wish", "hold", "release")


def fused(node: Node, fuse: Fuse) -> None:
    """Every effect of healing passes the fuse."""
    for name in EFFECTS:
        setattr(node.lanes, name, fuse(getattr(node.lanes, name)))
    store = node.log._store  # noqa: SLF001 - tests look inside.
    setattr(store, "keep", fuse(store.keep))  # noqa: B010 - as above.
    recorder = node.recorder
    setattr(recorder, "submit", fuse(recorder.submit))  # noqa: B010 - it is a door.


def falling(at: int, passed: list[int]) -> Callable[[Drill], None]:
    """Heal, falling over at one effect, and start again."""

    def heal(drill: Drill) -> None:
        fuse = Fuse(at)
        fused(drill.node, fuse)
        try:
            drill.heal()
        except Crash:
            drill.made.restart(drill.code)
            drill.hear()
            drill.heal()
        passed.append(fuse.passed)

    return heal


KINDS = {"again": (1, True), "epoch": (2, True), "claim": (1, False)}
"""By what was done about it: the epoch after it, and whether the node was fenced."""

EACH = 3
"""Restores of each kind."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_healing_survives_a_fall_at_every_effect(kind: str) -> None:
    tried = 0
    for seed in range(RESTORES):
        private, passed = kind == "epoch", list[int]()
        how = drilled(seed, private=private, healed=falling(0, passed))
        effects = passed[0]
        if how[:2] != KINDS[kind] or not effects:
            continue
        for at in range(1, effects + 1):
            print(f"{kind}: seed {seed} at {at} of {effects}")  # noqa: T201 - when it fails.
            assert drilled(seed, private=private, healed=falling(at, passed)) == how
        tried += 1
        if tried == EACH:
            return
    raise AssertionError(tried)


# What it says and refuses.


def lost(drill: Drill) -> Before:
    """A member is offered to a station after the backup; a unit is known to nobody."""
    made = drill.made
    drill.keep_to_itself()
    for _ in range(2):
        drill.sign()
        made.settle()
        drill.offer()
    made.settle()
    drill.sign()
    made.settle()
    before = drill.fail()
    drill.hear()
    return before


@pytest.fixture
def drill() -> Iterator[Drill]:
    with light() as made:
        yield Drill(made, ORIGIN, Random(1))


def test_behind_the_fence_nothing_is_recorded_and_a_report_says_what_to_do(drill: Drill) -> None:
    lost(drill)
    node = drill.node
    with pytest.raises(BackupRestored):
        node.execute(HoldActivity(on=node.clock().date(), title="学习"))

    assert not node.restoring.step(Hands(drill.made, ORIGIN))

    report = node.restoring.report()
    assert report["state"] == "wanting"
    assert report["lost"] > report["found"] > 0
    assert sum(each["missing"] for each in report["peers"]) > 0


def test_without_need_no_epoch_begins(drill: Drill) -> None:
    with pytest.raises(NothingToRenew):
        drill.node.restoring.renew(WISH)
    with pytest.raises(NothingToTake):
        drill.node.restoring.take(CHENGDU)


def test_what_is_given_back_can_be_read_again(drill: Drill) -> None:
    before = lost(drill)
    drill.heal()
    drill.go_on()

    drill.check(before)
    rows = drill.made.stage.rows(ORIGIN, "roster_person")
    assert {row["name"] for row in rows} == {"张三"}


def test_a_peer_shows_what_a_new_epoch_says(drill: Drill) -> None:
    before = lost(drill)
    drill.heal()
    drill.go_on()

    peer = drill.made[CHENGDU]
    (taken,) = peer.lanes.renewals()
    said = Sealed(taken.wire.encode()).claims(Renewal)
    assert (said.epoch, said.by, said.reason) == (2, WISH.person, WISH.reason)
    assert said.shared < max(before.witnessed) == taken.known
    (asked,) = peer.lanes.asks_back()
    assert taken.lacking == asked.number - asked.after > 0
    assert peer.witness.alarms()["ledger-asked-back"] == 1
    assert peer.witness.alarms()["ledger-renewed"] == 1
    (shown,) = peer.restoring.report()["theirs"]
    assert shown["gave_up"] == f"1/{taken.known}"
    drill.made.clock.pass_(days=SHOWN_DAYS + 1)
    assert peer.witness.alarms()["ledger-renewed"] == 0


@pytest.mark.parametrize("private", [True, False])
def test_what_was_shown_before_the_first_word_is_shown_no_more(
    drill: Drill, *, private: bool
) -> None:
    if private:
        drill.keep_to_itself()
    for _ in range(2):
        drill.offer()
        drill.made.settle()
        drill.sign()
    drill.made.settle()
    before = drill.fail()
    for peer in drill.peers:
        drill.node.relay.batch(peer, 0)  # A peer has asked, and is shown what the backup knows.
    drill.hear()
    assert drill.node.fence.raised

    drill.heal()
    drill.made.clock.pass_(seconds=20)
    drill.offer()

    assert [shown(drill, peer).fault for peer in drill.peers] == [None, None]
    drill.go_on()
    drill.check(before)


def test_whoever_shows_an_older_checkpoint_of_what_was_made_again_fences_nobody(
    drill: Drill,
) -> None:
    for peers in ((CHENGDU, SHENZHEN), (CHENGDU,)):
        drill.made.clock.pass_(seconds=20)
        flow = depart(drill.node, register(drill.node, number()))
        drill.node.execute(OfferCare(outflow=flow, host=CHENGDU))
        drill.node.log.sign()
        for peer in peers:
            drill.node.relay.acknowledge(shown(drill, peer).answer)
    older, newer = (drill.made[peer].lanes.witnessed(ORIGIN) for peer in (SHENZHEN, CHENGDU))
    assert older
    assert newer
    assert older.size < newer.size
    before = drill.fail()
    drill.hear()
    drill.heal()
    assert drill.node.log.epoch == 1

    for peer in (SHENZHEN, CHENGDU):
        after = drill.node.lanes.standing_in(peer).number
        wire, _ = drill.made[peer].relay.batch(ORIGIN, after)
        assert drill.node.inbox.accept(wire).fault is None
        drill.node.relay.acknowledge(drill.made[peer].inbox.receipt(ORIGIN))

    drill.go_on()
    drill.check(before)


def test_what_is_claimed_is_not_done_once_more_before_a_person_has_looked(drill: Drill) -> None:
    made, node = drill.made, drill.node
    flow = depart(node, register(node, number()))
    node.execute(OfferCare(outflow=flow, host=CHENGDU))
    made.settle()
    accept(made[CHENGDU], flow)
    made[CHENGDU].relay.number()
    wire, _ = made[CHENGDU].relay.batch(ORIGIN, node.lanes.standing_in(CHENGDU).number)
    assert node.inbox.accept(wire).recorded
    drill.backup = made.stage.snapshot(ORIGIN)
    made.settle()  # It confirms, under no checkpoint yet.
    before = drill.fail()
    drill.hear()
    assert drill.node.restoring.report()["state"] == "claimed"

    made.clock.pass_(seconds=5)
    worker = Worker(drill.node)
    worker._answer()  # noqa: SLF001 - one turn of a thread.
    drill.node.restoring.take(CHENGDU)
    worker._answer()  # noqa: SLF001
    drill.heal()
    drill.go_on()
    drill.check(before)
    assert not drill.node.restoring.waits()


def test_what_was_given_up_too_long_ago_is_refused(drill: Drill) -> None:
    drill.keep_to_itself()
    drill.sign()
    drill.made.settle()
    drill.made.clock.pass_(days=RENEWAL_DAYS + 1)
    lost(drill)
    drill.heal()

    outcome = shown(drill, CHENGDU)

    assert isinstance(outcome.fault, RenewalTooOld)
    assert drill.made[CHENGDU].lanes.renewals() == []


def test_a_rewriting_is_no_epoch(drill: Drill) -> None:
    lost(drill)
    drill.heal()
    node = drill.node
    begun = node.lanes.renewal()
    assert begun is not None
    # Somebody with its key and its database claims to share more than there is.
    said = Sealed(begun.wire.encode()).claims(Renewal)
    known = drill.made[CHENGDU].lanes.witnessed(ORIGIN)
    assert known is not None
    false = said.model_copy(update={"shared": min(known.size, said.size)})
    node.database.log_renewals[:] = [  # type: ignore[attr-defined]
        begun._replace(wire=false.signed(node.keys).decode(), shared=false.shared)
    ]

    for _ in range(2):
        outcome = shown(drill, CHENGDU)
        node.relay.acknowledge(outcome.answer)

    assert isinstance(outcome.fault, Rewritten)
    assert drill.made[CHENGDU].lanes.witnessed(ORIGIN) == known


def test_an_epoch_without_its_statement_is_refused(drill: Drill) -> None:
    lost(drill)
    drill.heal()
    drill.node.database.log_renewals.clear()  # type: ignore[attr-defined]

    assert isinstance(shown(drill, CHENGDU).fault, AnotherEpoch)


def shown(drill: Drill, peer: str) -> Any:
    """A peer takes in the next batch; its outcome."""
    other = drill.made[peer]
    drill.node.relay.number()
    wire, _ = drill.node.relay.batch(peer, other.lanes.standing_in(drill.code).number)
    return other.inbox.accept(wire)


def test_whoever_is_not_waited_for_keeps_its_lane_until_it_answers(drill: Drill) -> None:
    before = lost(drill)
    node, hands = drill.node, Hands(drill.made, ORIGIN)
    hands.away = {CHENGDU}
    node.restoring.renew(WISH._replace(without=(CHENGDU,)))
    assert node.restoring.step(hands)
    assert node.restoring.report()["state"] == "held"
    drill.offer()
    node.settle()
    with pytest.raises(LaneHeld):
        node.relay.batch(CHENGDU, 0)

    hands.away.clear()
    assert node.restoring.step(hands)

    assert node.relay.held == {}
    drill.go_on()
    drill.check(before)


def test_what_else_was_recorded_in_its_place_is_said(drill: Drill) -> None:
    flow = depart(drill.node, register(drill.node, number()))
    drill.node.execute(OfferCare(outflow=flow, host=CHENGDU))
    drill.made.settle()
    drill.backup = drill.made.stage.snapshot(ORIGIN)
    drill.node.execute(ReportLost(outflow=flow, basis="失去联系"))
    drill.made.settle()
    drill.sign()
    drill.made.settle()
    drill.fail()
    drill.node.execute(ReportLost(outflow=flow, basis="恢复之后"))
    drill.hear()
    drill.node.restoring.renew(WISH)

    assert not drill.node.restoring.step(Hands(drill.made, ORIGIN))

    assert "被另一条占用" in drill.node.restoring.report()["fault"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_node_is_restored_again_and_again(seed: int) -> None:
    draw = Random(seed)
    with light() as made:
        drill = Drill(made, draw.choice(CODES), draw)
        backups = [drill.backup]
        for _ in range(4):
            drill.traffic(draw.randint(1, 15), private=draw.random() < 0.5)
            drill.made.settle()
            drill.backup = draw.choice(backups)
            drill.fail()
            drill.hear()
            drill.heal()
            drill.go_on()
            backups.append(made.stage.snapshot(drill.code))

        drill.level()
        peers = [made[peer] for peer in drill.peers]
        newest = drill.node.log.checkpoint()
        for peer in peers:
            seen = peer.lanes.witnessed(drill.code)
            assert seen is not None
            assert seen[1:4] == newest[:3]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_two_nodes_restored_at_once_help_each_other(seed: int) -> None:
    draw = Random(seed)
    with light() as made:
        one, other = (Drill(made, code, draw) for code in draw.sample(CODES, 2))
        one.traffic(20)
        made.settle()
        for drill in (one, other):
            drill.fail()
        for drill in (one, other):
            drill.hear()
        for drill in (one, other):
            drill.heal()
        one.go_on()
        one.traffic(10)
        one.go_on()

        one.level()
        other.level()


# Its limits.


def test_the_longest_statement_travels(drill: Drill) -> None:
    lost(drill)
    drill.node.restoring.renew(WISH._replace(reason='"' * TEXT_MAX, person='"' * 64))

    assert drill.node.restoring.step(Hands(drill.made, ORIGIN))

    begun = drill.node.lanes.renewal()
    assert begun is not None
    assert len(begun.wire) < RENEWAL_MAX
    drill.go_on()
    assert [each.wire for each in drill.made[CHENGDU].lanes.renewals()] == [begun.wire]


@pytest.mark.slow
@pytest.mark.parametrize("maximum", [1, 3])
def test_a_long_lane_is_taken_back_in_rounds(monkeypatch: pytest.MonkeyPatch, maximum: int) -> None:
    monkeypatch.setattr(taking_back, "RETURNED_MAX", maximum)
    monkeypatch.setattr(recording_back, "NUMBER_MAX", 2)
    for seed in range(8):
        drilled(seed, private=True)


@pytest.mark.slow
def test_of_a_wide_gap_no_order_is_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [n for n in range(20) if drilled(n, private=False)[:2] == (1, True)]
    monkeypatch.setattr(healing, "GAP_MAX", 0)

    assert (2, True) in {drilled(seed, private=False)[:2] for seed in seeds}


@pytest.mark.slow
def test_a_peer_names_the_newest_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returned, "MARKS_MAX", 1)
    for seed in range(8):
        drilled(seed, private=True)


@pytest.mark.slow
def test_a_page_is_as_long_as_a_message(drill: Drill) -> None:
    for _ in range(60):
        drill.offer()
    for _ in range(2):
        drill.made.settle()
        drill.sign()
    before = drill.fail()
    assert len(before.held) > ENTRIES_MAX
    drill.hear()

    drill.heal()

    drill.go_on()
    drill.check(before)


# What a peer may say.


class Liar(Hands):
    """One peer says something else than it holds, under its own signature."""

    def __init__(self, drill: Drill, change: Callable[[Returned], dict[str, Any]]) -> None:
        super().__init__(drill.made, drill.code)
        self.change = change

    def returned(self, peer: str, after: int, cursor: int, size: int) -> bytes:
        wire = super().returned(peer, after, cursor, size)
        page = Sealed(wire).claims(Returned)
        if not page.entries:
            return wire
        changed = page.model_copy(update=self.change(page))
        return changed.signed(self._made[peer].keys)


def rooted(page: Returned, *entries: LaneEntry, before: str) -> dict[str, Any]:
    """A lane of these entries alone, whose roots follow."""
    for entry in entries:
        before = next_root(before, record_of(entry))
    return {"entries": entries, "number": page.first + len(entries) - 1, "root": before}


def other_keeper(page: Returned, before: str) -> dict[str, Any]:
    entry = page.entries[0]
    state = entry.state.replace(f'"keeper":"{ORIGIN}"', '"keeper":"chengdu"')
    return rooted(page, entry.model_copy(update={"state": state}), before=before)


def no_fact(page: Returned, before: str) -> dict[str, Any]:
    return rooted(page, page.entries[0].model_copy(update={"state": "{}"}), before=before)


def from_the_middle(page: Returned, before: str) -> dict[str, Any]:
    return rooted(page, page.entries[0].model_copy(update={"version": 7}), before=before)


def of_another_kind(page: Returned, before: str) -> dict[str, Any]:
    first = page.entries[0]
    entry = first.model_copy(update={"topic": "contact.made"})
    return rooted(page, entry, before=before)


LIES: dict[str, Callable[[Returned, str], dict[str, Any]]] = {
    "not-the-keeper": other_keeper,
    "malformed": no_fact,
    "version-gap": from_the_middle,
    "does-not-fit": of_another_kind,
    "roots-differ": lambda page, _: {"entries": page.entries[1:]},
    "misaddressed": lambda _, __: {"receiver": CHENGDU},
}


@pytest.mark.parametrize("code", LIES)
def test_what_a_peer_makes_up_is_not_recorded(drill: Drill, code: str) -> None:
    lost(drill)
    node = drill.node
    roots = {peer: node.lanes.head_out(peer).root for peer in drill.peers}
    node.restoring.renew(WISH)
    before = ledger(node)
    liar = Liar(drill, lambda page: LIES[code](page, roots[page.sender]))

    assert not node.restoring.step(liar)

    report = node.restoring.report()
    said = [report["fault"], *(each["fault"] for each in report["peers"])]
    sentence = told(code, {}).partition("。")[0]
    assert any(sentence in each for each in said if each)
    assert ledger(node) == before
    assert node.fence.raised is not None


def test_peers_that_disagree_are_both_shown(drill: Drill) -> None:
    flow = depart(drill.node, register(drill.node, number()))
    for host in (CHENGDU, SHENZHEN):
        drill.node.execute(ShareOutflow(outflow=flow, to=host, purpose="协助"))
    for _ in range(2):
        drill.sign()
        drill.made.settle()
    drill.keep_to_itself()
    drill.fail()
    drill.hear()

    def change(page: Returned) -> dict[str, Any]:
        if page.sender == CHENGDU:
            return {}
        entries = [
            each.model_copy(update={"state": each.state.replace("务工", "经商")})
            for each in page.entries
        ]
        return rooted(page, *entries, before=drill.node.lanes.head_out(SHENZHEN).root)

    drill.node.restoring.renew(WISH)

    assert not drill.node.restoring.step(Liar(drill, change))
    assert "被另一条占用" in drill.node.restoring.report()["fault"]


def test_a_peer_enrolled_since_the_backup_gives_back_once_it_is_enrolled_again(
    drill: Drill,
) -> None:
    made = drill.made
    made.found("lanzhou", "station")
    made.acquaint(ORIGIN, "lanzhou", HOST_MAY_OPEN)
    flow = depart(drill.node, register(drill.node, number()))
    drill.node.execute(OfferCare(outflow=flow, host="lanzhou"))
    for _ in range(2):
        made.settle()
        drill.sign()
    before = drill.fail()
    drill.hear()
    assert drill.node.fence.raised is not None
    assert "lanzhou" not in drill.peers

    drill.node.enrol(read_card(made["lanzhou"].card()), HOST_MAY_OPEN)
    drill.heal()

    drill.go_on()
    drill.check(before)
    assert drill.node.lanes.head_out("lanzhou").number > 1


def test_a_backlog_waits_for_the_word_of_whom_it_is_for(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are in the backup, and the peer has witnessed more than the backup knows."""
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 2)
    made, origin = drill.made, drill.node
    for _ in range(3):
        drill.offer()
    while origin.relay.number():
        pass
    origin.log.sign()
    for _ in range(2):
        made.carry(ORIGIN, CHENGDU)
    drill.backup = made.stage.snapshot(ORIGIN)
    drill.keep_to_itself()
    origin.log.sign()
    for _ in range(2):
        made.carry(ORIGIN, CHENGDU)
    drill.fail()
    peer, node = made[CHENGDU], drill.node
    after = peer.lanes.standing_in(ORIGIN).number
    assert after < node.lanes.head_out(CHENGDU).number
    assert node.fence.awaits(CHENGDU)

    assert node.relay.news(CHENGDU, after) is None
    wire, last = node.relay.batch(CHENGDU, after)

    assert last == after
    assert peer.inbox.accept(wire).fault is None
    assert not peer.lanes.contradictions()
    drill.hear()
    drill.heal()
    node.restoring.step(Hands(made, ORIGIN))
    assert not node.fence.awaits(CHENGDU)
    drill.go_on()
    drill.level()


def test_what_is_said_while_a_word_is_awaited_overtakes_no_facts(drill: Drill) -> None:
    """Under way when its sender fell over, and later than what that says next."""
    made, node = drill.made, drill.node
    drill.offer()
    node.relay.number()
    peer = made[CHENGDU]
    after = peer.lanes.standing_in(ORIGIN).number
    slow, last = node.relay.batch(CHENGDU, after)
    assert last > after
    drill.keep_to_itself()
    node.log.sign()
    made.restart(ORIGIN)
    assert drill.node.fence.awaits(CHENGDU)

    quick, last = drill.node.relay.batch(CHENGDU, after)
    assert last == after
    outcomes = [peer.inbox.accept(wire) for wire in (quick, slow)]

    assert [outcome.fault for outcome in outcomes] == [None, None]
    assert outcomes[1].recorded
    assert not peer.lanes.contradictions()
