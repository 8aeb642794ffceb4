"""不变式·台账: what organizations have signed of their ledgers, and witnessed of each other's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from domain.records import leaf
from domain.tiles import Growth
from domain.tree import ours
from domain.values import OrgCode
from sync.checkpoint import Checkpoint, epoch_of, verifiers, witness_of
from sync.envelope import Sealed
from sync.note import COSIGNATURE, Note, Verifier
from sync.renewal import Renewal
from tests.simulation.broken import must
from tests.simulation.watch import Account
from tests.simulation.world import World

At = tuple[int, int]
"""Epoch and size."""


def proved(world: World) -> None:
    """All of them.

    Raises:
        Broken.
    """
    signed = {code: signed_once(world, code) for code in world.codes}
    for code in world.codes:
        unaccused(world, code)
    for us, them in world.pairs:
        witnessed(world, us, them, signed[them])
        told_as_it_was(world, us, them)


def gather(world: World, code: str) -> None:
    """Take in what a node has signed, also where it fell over before anybody was told."""
    for note in _notes(world, code):
        claim = Checkpoint.read(note.text)
        world.watch.checkpoint(code, epoch_of(claim.origin)[1], claim.size, claim.root)


def signed_once(world: World, code: str) -> dict[At, bytes]:
    """10: of each size one root, that of the ledger's beginning, under a key of the organization.

    Then no two contradict each other, and one that was lost in between cannot have been another.
    That holds also of what it has forgotten since, as long as anybody knows it; of what a former
    epoch had signed, as far as the statement of the present one has it.
    """
    roots, said = _Roots(world.watch.accounts[code]), dict[At, bytes]()
    known = dict.fromkeys(_keys(world, code))
    for note in _notes(world, code):
        claim = Checkpoint.read(note.text)
        org, epoch = epoch_of(claim.origin)
        at = {"at": code, "epoch": epoch, "size": claim.size}
        follows = (epoch, claim.size) > max(said, default=(0, 0))
        must(follows, "Append-only: checkpoints follow.", **at)
        same = claim.root == roots.at(claim.size)
        must(same, "Append-only: a checkpoint is of what stands there.", **at)
        note.proved(verifiers(claim.origin, known))
        must(org == code, "Authentic: a ledger of its own.", **at)
        said[epoch, claim.size] = claim.root
        _cosigned(world, code, note)
    for at_, root in world.watch.signed[code].items():
        kept = said.get(at_) == root or at_ in world.watch.unkept[code]
        must(kept, "Durable: signed is signed.", at=code, size=at_)
    _shared(world, code)
    world.happened["checkpoint"] += len(said)
    return {**world.watch.signed[code], **said}


def _shared(world: World, code: str) -> None:
    """10: whatever anybody knows to be signed is of this ledger, up to what it gave up."""
    node, roots = world.nodes[code], _Roots(world.watch.accounts[code])
    upto = {node.log.epoch: len(world.watch.accounts[code].entries)}
    if (begun := node.lanes.renewal()) is not None:
        old = Sealed(begun.wire.encode()).claims(Renewal).old
        upto[epoch_of(old.partition("\n")[0])[1]] = begun.shared
    for (epoch, size), root in sorted(world.watch.signed[code].items(), key=lambda i: i[0][1]):
        if size <= upto.get(epoch, 0):
            at = {"at": code, "epoch": epoch, "size": size}
            must(roots.at(size) == root, "Append-only: what was signed still stands.", **at)


def _notes(world: World, code: str) -> Iterator[Note]:
    notes = world.nodes[code].log.signed_up_to(len(world.watch.accounts[code].entries))
    return map(Note.read, notes)


class _Roots:
    """The roots of a ledger's beginnings, from what was seen of it; asked in order."""

    def __init__(self, account: Account) -> None:
        self._records = [entry.record for entry in account.entries]
        self._tree = Growth.empty(ours())

    def at(self, size: int) -> bytes | None:
        if not self._tree.size <= size <= len(self._records):
            return None
        self._tree = self._tree.and_then(map(leaf, self._records[self._tree.size : size]))
        return self._tree.root


def _keys(world: World, code: str) -> list[str]:
    """Every key an organization has ever had."""
    node = world.nodes[code]
    signet: Any = node.key_change.signet
    named = () if signet is None else signet.keys
    return list(dict.fromkeys((*named, *(pair.verify_key for pair in node.keys.signers))))


def _cosigned(world: World, code: str, note: Note) -> None:
    """8: each witness's line under a checkpoint is by a key of the witness, and of this text."""
    names: Counter[OrgCode] = Counter(line.name for line in note.lines)
    for peer in world.codes:
        name = witness_of(peer)
        if peer == code or not names[name]:
            continue
        known = [Verifier.of(name, key, COSIGNATURE) for key in _keys(world, peer)]
        # A witness that was restored takes, and cosigns, the same text again.
        for line in (line for line in note.lines if line.name == name):
            by = Note(note.text, (line,)).proved(known)
            must(by, "Authentic: a witness's own word.", at=code, peer=peer)
            world.happened["cosigned"] += 1


def witnessed(world: World, us: str, them: str, signed: dict[At, bytes]) -> None:
    """10: what a witness has taken of a ledger, its organization has signed."""
    seen = world.nodes[us].lanes.witnessed(them)
    same = seen is None or signed.get((seen.epoch, seen.size)) == seen.root
    must(same, "Append-only: witnessed is what was signed.", at=us, peer=them, seen=seen)


def told_as_it_was(world: World, us: str, them: str) -> None:
    """10: a cosignature we keep is of a checkpoint that the witness did take."""
    epoch, size = world.nodes[us].lanes.cosigned(them)
    taken = world.nodes[them].lanes.witnessed_at(us, epoch, size) if size else None
    forgot = (us, them, epoch, size) in world.watch.unwitnessed
    must(
        not size or taken or forgot,
        "Authentic: cosigned is witnessed.",
        at=us,
        peer=them,
        size=size,
    )


def unaccused(world: World, code: str) -> None:
    """10: among honest nodes nobody contradicts himself, and nobody has forgotten anything."""
    node = world.nodes[code]
    accused = sorted(node.lanes.accused())
    must(not accused, "Append-only: nobody contradicts himself.", at=code, accused=accused)
    must(node.fence.raised is None, "Durable: nobody has forgotten.", at=code)
