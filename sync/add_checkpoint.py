"""加签: cosigns a peer's checkpoint that anybody brings, as C2SP tlog-witness has it."""

from __future__ import annotations

from typing import NamedTuple

from domain.organization import Organization
from domain.tree import Hashing, ProofInvalid, consistent, ours
from sync.checkpoint import Checkpoint, CheckpointInvalid, epoch_of, natural, witness_of
from sync.errors import LaneFault
from sync.ledger_said import HASHES_MAX
from sync.note import Note, NoteForged, NoteUnsigned, unb64
from sync.witness import Witness

OK, MALFORMED, FORBIDDEN, UNKNOWN, CONFLICT, UNPROVED = 200, 400, 403, 404, 409, 422


class Answer(NamedTuple):
    """A status of tlog-witness, and what it says."""

    status: int
    body: bytes = b""


class Asked(NamedTuple):
    """From which size, by which proof, to which checkpoint."""

    old: int
    proof: list[bytes]
    note: bytes

    @classmethod
    def read(cls, body: bytes) -> Asked:
        """From the body of a request.

        Raises:
            CheckpointInvalid, NoteInvalid.
        """
        head, between, note = body.partition(b"\n\n")
        try:
            first, *proof = head.decode("ascii").split("\n")
        except UnicodeDecodeError as fault:
            raise CheckpointInvalid(because="not ASCII", at=fault.start) from None
        if not between or not first.startswith("old ") or len(proof) > HASHES_MAX:
            raise CheckpointInvalid(because="no old size, too many hashes, or no checkpoint")
        return cls(natural(first.removeprefix("old ")), list(map(unb64, proof)), note)

    def refused(
        self, said: Checkpoint, size: int, root: bytes, hashing: Hashing | None = None
    ) -> Answer | None:
        """Why it does not continue what a witness has cosigned, if it does not."""
        if self.old > said.size:
            return Answer(MALFORMED, b"the old size is larger than the checkpoint\n")
        if self.old != size or (said.size == size and said.root != root):
            return Answer(CONFLICT, f"{size}\n".encode())
        try:
            if size:
                consistent(hashing or ours(), size, said.size, self.proof, root, said.root)
            elif self.proof:
                return Answer(UNPROVED, b"there is no consistency proof from 0\n")
        except ProofInvalid as fault:
            return Answer(UNPROVED, f"consistency proof: {fault}\n".encode())
        return None


def add(body: bytes, witness: Witness, us: Organization | None) -> Answer:
    """Cosign a checkpoint of an enrolled peer's ledger, if it continues the last."""
    try:
        asked = Asked.read(body)
        org, epoch = epoch_of(asked.note.partition(b"\n")[0].decode("utf-8", "replace"))
        if us is None or org not in us.peers:
            return Answer(UNKNOWN, b"unknown log\n")
        seen = witness.claim(org, asked.note.decode("utf-8", "replace"), us)
    except (NoteForged, NoteUnsigned) as fault:
        return Answer(FORBIDDEN, f"invalid signature: {fault}\n".encode())
    except LaneFault as fault:
        return Answer(MALFORMED, f"{fault}\n".encode())
    note = Note.read(seen.note.encode())
    with witness.turn(org):
        known = witness.newest(org)
        if known is not None and known.epoch != epoch:
            return Answer(UNKNOWN, b"unknown log: another epoch\n")
        size, root = (known.size, known.root) if known else (0, b"")
        if refused := asked.refused(Checkpoint.read(note.text), size, root):
            return refused
        witness.keep(seen)
    cosigned = (str(line) for line in note.lines if line.name == witness_of(witness.org))
    return Answer(OK, "".join(cosigned).encode())
