"""不变式·台账: what organizations have signed of their ledgers, and witnessed of each other's."""

from __future__ import annotations

from collections import Counter
from typing import Any

from domain.records import leaf
from domain.tiles import Growth
from domain.tree import ours
from domain.values import OrgCode
from sync.checkpoint import Checkpoint, epoch_of, verifiers, witness_of
from sync.note import COSIGNATURE, Line, Note, Verifier
from tests.simulation.broken import must
from tests.simulation.watch import Account
from tests.simulation.world import World


def proved(world: World) -> None:
    """All of them; of nodes that no backup was put back to.

    Raises:
        Broken.
    """
    if world.restored:
        return
    signed = {code: signed_once(world, code) for code in world.codes}
    for code in world.codes:
        unaccused(world, code)
    for us, them in world.pairs:
        witnessed(world, us, them, signed[them])
        told_as_it_was(world, us, them)


def signed_once(world: World, code: str) -> dict[int, bytes]:
    """10: of each size one root, that of the ledger's beginning, under a key of the organization.

    Then no two contradict each other, and one that was lost in between cannot have been another.
    """
    node, roots = world.nodes[code], _Roots(world.watch.accounts[code])
    said: dict[int, bytes] = {}
    known = dict.fromkeys(_keys(world, code))
    for raw in node.log.signed_up_to(len(world.watch.accounts[code].entries)):
        note = Note.read(raw)
        claim = Checkpoint.read(note.text)
        at = {"at": code, "size": claim.size}
        must(claim.size > max(said, default=0), "Append-only: checkpoints follow.", **at)
        same = claim.root == roots.at(claim.size)
        must(same, "Append-only: a checkpoint is of what stands there.", **at)
        note.proved(verifiers(claim.origin, known))
        must(epoch_of(claim.origin) == (code, 1), "Authentic: a ledger of its own.", **at)
        said[claim.size] = claim.root
        _cosigned(world, code, note)
    for size, root in world.watch.signed[code].items():
        must(said.get(size) == root, "Durable: signed is signed.", at=code, size=size)
    world.happened["checkpoint"] += len(said)
    return said


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
        mine = Note(note.text, tuple(line for line in note.lines if line.name == name))
        known = [Verifier.of(name, key, COSIGNATURE) for key in _keys(world, peer)]
        by: list[Line] = [line for _, line in mine.proved(known)]
        must(len(by) == len(mine.lines), "Authentic: a witness's own word.", at=code, peer=peer)
        world.happened["cosigned"] += len(by)


def witnessed(world: World, us: str, them: str, signed: dict[int, bytes]) -> None:
    """10: what a witness has taken of a ledger, its organization has signed."""
    seen = world.nodes[us].lanes.witnessed(them)
    same = seen is None or signed.get(seen.size) == seen.root
    must(same, "Append-only: witnessed is what was signed.", at=us, peer=them, seen=seen)


def told_as_it_was(world: World, us: str, them: str) -> None:
    """10: a cosignature we keep is of a checkpoint that the witness did take."""
    epoch, size = world.nodes[us].lanes.cosigned(them)
    taken = world.nodes[them].lanes.witnessed_at(us, epoch, size) if size else None
    must(not size or taken, "Authentic: cosigned is witnessed.", at=us, peer=them, size=size)


def unaccused(world: World, code: str) -> None:
    """10: among honest nodes nobody contradicts himself, and nobody has forgotten anything."""
    node = world.nodes[code]
    accused = sorted(node.lanes.accused())
    must(not accused, "Append-only: nobody contradicts himself.", at=code, accused=accused)
    must(node.fence.raised is None, "Durable: nobody has forgotten.", at=code)
