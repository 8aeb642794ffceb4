"""不变式: what must hold of every history once the faults have ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

from domain import suite
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import PERSONAL, digest, leaf, open_field, place_of
from domain.sealing import Sealed, Unopenable, unseal
from sync.envelope import NO_ROOT
from sync.inbox import PARKED_MAX
from sync.store import EVIDENCE_MAX
from tests.simulation.broken import must
from tests.simulation.check_ledgers import proved
from tests.simulation.check_transfers import transferred
from tests.simulation.keys import agreed, emergency
from tests.simulation.mallory import MALLORY
from tests.simulation.watch import Account, durable, fact_of
from tests.simulation.world import World

_OPEN = ("待登记", "待报到", "去向未明", "在流入地管理")


def check(world: World) -> None:
    """All of them.

    Raises:
        Broken: with what does not hold.
    """
    world.look()
    for code in world.codes:
        rewritten(world.watch.accounts[code], world.nodes[code])
        isolated(world, code)
        _refused(world, code)
        _each_in_one_care(world, code)
    for pair in world.pairs:
        _equal(world, *pair)
        _acknowledged(world, *pair)
        _rooted(world, *pair)
        _opened_as_granted(world, *pair)
    for code in sorted(world.restored):
        reads_its_own(world, code)
    answered_once(world)
    _acceptances_settled(world)
    transferred(world)
    agreed(world)
    proved(world)
    _sealed_to_its_place(world)
    read_models_stand(world)
    _read_models_agree(world)


def rewritten(account: Account, node: Any) -> None:
    """1, 10: the whole ledger, read anew, is what was seen of it along the way."""
    position, number = 0, 0
    while entries := node.ledger.since(position):
        for entry in entries:
            known = account.entries[number] if number < len(account.entries) else None
            same = known is not None and entry.record == known.record
            must(same, "Durable: nothing is rewritten.", at=account.code, position=entry.position)
            number += 1
        position = entries[-1].position
    must(number == len(account.entries), "Durable: nothing is gone.", at=account.code)


def _equal(world: World, keeper: str, peer: str) -> None:
    """2: a peer holds what it is in the audience of, whole, the same bytes, and nothing else."""
    ours, theirs = world.watch.accounts[keeper], world.watch.accounts[peer]
    delivered(ours, theirs, set(world.watch.poison) | _answering(world, peer, keeper))


def delivered(ours: Account, theirs: Account, poison: set[UUID]) -> None:
    """2, of two accounts."""
    keeper, peer = ours.code, theirs.code
    shared = {s for s in ours.streams if ours.keeper(s) == keeper and peer in ours.audience(s)}
    shared -= poison
    there = {s for s in theirs.streams if theirs.keeper(s) == keeper} - poison
    missing, more = shared - there, there - shared
    at = {"keeper": keeper, "peer": peer}
    must(not missing, "Delivered: whoever may hear holds it.", **at, missing=missing)
    must(not more, "Scope: nobody else holds it.", **at, more=more)
    for stream in shared:
        mine = [entry.record for entry in ours.streams[stream]]
        same = [entry.record for entry in theirs.streams[stream]]
        must(mine == same, "Delivered: the same bytes.", **at, stream=stream)


def _acknowledged(world: World, keeper: str, peer: str) -> None:
    head, told = world.nodes[keeper].relay.standing(peer)
    standing = world.nodes[peer].lanes.standing_in(keeper)
    same = (head.number, head.root) == (told.number, told.root) == standing[:2]
    at = {"keeper": keeper, "peer": peer}
    numbers = {"head": head.number, "told": told.number, "standing": standing.number}
    must(same, "Delivered: head, receipt and inbox agree.", **at, **numbers)


def _rooted(world: World, keeper: str, peer: str) -> None:
    """10, as far as it can hold today: the root commits to every entry of the lane, in order."""
    lanes, root, after = world.nodes[keeper].lanes, NO_ROOT, 0
    while found := lanes.page(peer, after, 100)[1]:
        for number, record, given, _ in found:
            said = suite.digest(b"\x00" + leaf(record))
            root = suite.digest(bytes.fromhex(root) + said).hex()
            must(root == given, "Append-only: the root is of all before.", number=number)
        after = found[-1].number


def isolated(world: World, code: str) -> None:
    """11, 14: only what is poison is set aside, and all of it is, with its reason, in bounds."""
    lanes = world.nodes[code].lanes
    rows = [r for r in lanes.quarantined(0, PARKED_MAX) if r["stream"] is not None]
    alien = [r for r in rows if r["peer"] != MALLORY and r["stream"] not in world.watch.poison]
    alien = [r for r in alien if r["stream"] not in _answering(world, code, r["peer"])]
    must(not alien, "Isolated: nothing else is quarantined.", at=code, rows=alien[:2])
    mallory = lanes.parked(MALLORY)
    must(mallory == world.parked[code], "Isolated: evidence of each.", at=code, parked=mallory)
    parked = {(r["stream"], r["version"]) for r in rows}
    for stream, keeper in world.watch.poison.items():
        if keeper == code:
            continue
        there = world.watch.accounts[keeper]
        if code in (there.audience(stream) if stream in there.streams else ()):
            mine = {(stream, e.record.originator_version) for e in there.streams[stream]}
            must(mine <= parked, "Isolated: poison is kept as evidence.", at=code, stream=stream)
    counts = Counter(r["reason"] for r in lanes.quarantined(0, PARKED_MAX) if r["stream"] is None)
    must(max(counts.values(), default=0) <= EVIDENCE_MAX, "Bounded: evidence.", counts=counts)


def _answering(world: World, code: str, keeper: str) -> set[UUID]:
    """Of the streams set aside, those that answer something that is lost for good."""
    if not world.watch.gone:
        return set()
    ours = world.watch.accounts[keeper].streams
    stopped = world.nodes[code].lanes.stopped(keeper, ours)
    return {stream for stream in stopped if world.watch.about_gone(ours[stream])}


def _refused(world: World, code: str) -> None:
    """Every message that was bent or forged is counted, and no other."""
    expected = {key[1:]: n for key, n in world.refused.items() if key[0] == code}
    counts = world.nodes[code].lanes.refused_counts()
    # A node may fall over, or find its disk full, before it has counted; then it counts anew.
    rates = world.plan.rates
    hurt = world.crashes or rates["full"] or rates["unheard"]
    if world.log is not None:
        # It repeats what an old key has signed, and answers to what was forgotten, as it likes.
        given_up = {c for c in world.rekeyed if emergency(world, c)}
        forgot = world.restored if code not in world.restored else {*world.codes}
        expected = {k: n for k, n in expected.items() if not _old(k, given_up, forgot)}
        counts = {k: n for k, n in counts.items() if not _old(k, given_up, forgot)}
    same = counts == expected or (
        hurt and all(counts.get(key, 0) >= n for key, n in expected.items())
    )
    must(same, "Authentic: refused is what was bent.", at=code, counts=counts, bent=expected)


def _old(counted: tuple[str, str], given_up: set[str], forgot: set[str]) -> bool:
    """Whether that was counted of who has given a key up, or of a lane that one side forgot."""
    sender, reason = counted
    key = sender in given_up and reason in {"forged", "key-over", "note-unsigned"}
    return key or (sender in forgot and reason in {"roots-differ", "fenced", "another-epoch"})


def _each_in_one_care(world: World, code: str) -> None:
    """6: the carer is the same in the ledger's order, in memory, and on the board."""
    ledger, account = world.nodes[code].ledger, world.watch.accounts[code]
    board = {row["outflow"]: row["carer"] for row in world.stage.rows(code, "custody_flow")}
    for stream, care in account.care.items():
        view = ledger.look_up(Outflow, stream)
        at = {"at": code, "outflow": stream}
        must(view.carer == care.carer, "Conserved: the carer.", **at, view=view.carer)
        shown = board.get(stream)
        must(shown == care.carer, "Converged: the board's carer.", **at, shown=shown)
        member = ledger.find(Member, view.member)
        keeper = account.keeper(stream)
        # Of a command that was sent to two, one may have heard half.
        halved = stream in world.watch.gone or view.member in world.watch.gone
        if member is not None and member.keeper == keeper and not halved:
            away = member.away == stream
            must(away == (view.state in _OPEN), "Conserved: away while it is open.", **at)


def _acceptances_settled(world: World) -> None:
    """6: whoever accepted sees what became of it, and so does who was accepted from."""
    for host, account in world.watch.accounts.items():
        for stream in account.streams:
            for entry in account.streams[stream]:
                if entry.record.topic == Inflow.Accepted.TOPIC:
                    accepted: Any = fact_of(entry)
                    if accepted.meta.keeper == host:
                        settled(world.watch.accounts, host, accepted, digest(entry.record))


def settled(accounts: dict[str, Account], host: str, fact: Any, acceptance: str) -> None:
    """6, of one acceptance."""
    for code in (host, accounts[host].keeper(fact.outflow)):
        answers = [
            type(said).__name__
            for said in accounts[code].facts(fact.outflow)
            if isinstance(said, Outflow.Confirmed | Outflow.AcceptanceVoid)
            and said.acceptance == acceptance
        ]
        at = {"at": code, "outflow": fact.outflow}
        must(len(answers) == 1, "Conserved: each acceptance has one answer.", **at, got=answers)


def _opened_as_granted(world: World, keeper: str, peer: str) -> None:
    """9: what a peer can open is what it was granted."""
    node, classes = world.nodes[peer], world.granted[keeper, peer]
    account = world.watch.accounts[peer]
    for stream in account.streams:
        if account.keeper(stream) != keeper:
            continue
        for fact in account.facts(stream):
            for name, data_class in PERSONAL[fact.TOPIC]:
                if getattr(fact, name) is None:
                    continue
                opens = open_field(fact, name, node.keyring) is not None
                # A key that nobody was granted is gone with the disk of who made it.
                lost = getattr(getattr(fact, name), "key_id", None) in world.lost_keys
                fits = opens == (data_class in classes) or (lost and not opens)
                at = {"peer": peer, "topic": fact.TOPIC, "name": name, "opens": opens}
                must(fits, "Scope: opened as granted.", **at)


def reads_its_own(world: World, code: str) -> None:
    """1: whoever was put back reads again what came back, but for keys that are lost for good."""
    node, account = world.nodes[code], world.watch.accounts[code]
    for fact in map(fact_of, account.entries):
        for name, _ in PERSONAL[fact.TOPIC] if fact.meta.keeper == code else ():
            value = getattr(fact, name)
            lost = isinstance(value, Sealed) and value.key_id in world.lost_keys
            opens = value is None or open_field(fact, name, node.keyring) is not None
            must(opens or lost, "Durable: our own can be read.", at=code, topic=fact.TOPIC)


def _sealed_to_its_place(world: World) -> None:
    """8: a sealed value opens nowhere else."""
    for code, node in world.nodes.items():
        account = world.watch.accounts[code]
        for entry in account.entries:
            fact = entry.fact
            for name, _ in PERSONAL[entry.record.topic]:
                value = getattr(fact, name)
                key = node.keyring.key(value.key_id) if isinstance(value, Sealed) else None
                if fact is None or key is None:
                    continue
                place = replace(place_of(fact), version=fact.originator_version + 1)
                must(
                    not _opens(value, key, name, place), "Authentic: sealed to its place.", at=code
                )
                return


def _opens(value: Sealed, key: Any, name: str, place: Any) -> bool:
    try:
        unseal(value, key, name, place)
    except Unopenable:
        return False
    return True


def answered_once(world: World) -> None:
    """1, 3: what was answered is there, once."""
    seen: dict[str, dict[Any, dict[tuple[UUID, int], str]]] = {code: {} for code in world.codes}
    for code, account in world.watch.accounts.items():
        for entry in account.entries:
            fact = fact_of(entry)
            if fact.meta.keeper == code and fact.meta.author.person != "waystation":
                places = seen[code].setdefault(fact.meta.correlation, {})
                places[fact.originator_id, fact.originator_version] = fact.TOPIC
    for done in world.done:
        places = seen[done.code].get(world.command_id(done), {})
        first = (done.receipt.id, done.receipt.version)
        durable(world.watch.accounts[done.code], *first)
        # A command that had nothing left to do answers with what is there already.
        must(first in places or not places, "Durable: answered is recorded.", key=done.key)
        said = [(stream, topic) for (stream, _), topic in places.items()]
        must(len(said) == len(set(said)), "Once: recorded once.", key=done.key)
    effects = Counter(
        (code, fact.meta.correlation, fact.TOPIC)
        for code, account in world.watch.accounts.items()
        for fact in map(fact_of, account.entries)
        if fact.meta.keeper == code and fact.TOPIC in _ONCE
    )
    twice = [key for key, n in effects.items() if n > 1]
    must(not twice, "Once: one command, one effect.", twice=twice)


_ONCE = {"activity.held", "contact.made", "inflow.found", "outflow.offered", "member.registered"}

THOROUGH = 10
"""One history in so many rebuilds every read model of every node, the others one of one node."""


def read_models_stand(world: World) -> None:
    """5: read anew from the first fact, nothing changes."""
    codes = world.codes
    for code, node in world.nodes.items():
        must(not node.projector.stopped, "Converged: reading goes on.", why=node.projector.stopped)
        names = sorted(node.projector.projections)
        if world.seed % THOROUGH:
            turn = world.seed % (len(codes) * len(names))
            names = [names[turn // len(codes)]] if codes[turn % len(codes)] == code else []
        for name in names:
            same = node.projector.rebuild(name)
            must(same, "Converged: a rebuild changes nothing.", at=code, name=name)


SHARED = {"custody_flow": "outflow", "contact_absence": "outflow", "activity": "activity"}
"""Read models that say the same on both sides, whatever either may open."""


def _read_models_agree(world: World) -> None:
    """5: of what two nodes both hold, their read models say the same."""
    for table, key in SHARED.items():
        shown = {
            code: {row[key]: row for row in world.stage.rows(code, table)} for code in world.codes
        }
        for one, other in world.pairs:
            keeper = world.watch.accounts[one].keeper
            for stream in shown[one].keys() & shown[other].keys():
                same = shown[one][stream] == shown[other][stream]
                aside = (_answering(world, code, keeper(stream)) for code in (one, other))
                same = same or any(stream in streams for streams in aside)
                must(same, "Converged: both read the same.", table=table, stream=stream)
