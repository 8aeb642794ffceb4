"""矛盾证据: what an organization has signed twice, not alike; checked by public keys only."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from domain.tree import Hashing, ProofInvalid, consistent, ours
from sync import strict
from sync.checkpoint import Checkpoint, believed, epoch_of, verifiers
from sync.envelope import Batch, Sealed
from sync.errors import LaneFault
from sync.ledger_said import LogSaid
from sync.note import Note, witnessed_at

FORMAT = "waystation/contradiction/v1"

FILE_BYTES = 640 * 1024
"""Of a whole file: two notes, and a batch in base64."""

Kind = Literal["split-view", "failing-proof", "rolled-back"]


class NotAContradiction(LaneFault):
    """所示文件不能证明矛盾。What the file holds does not contradict itself."""

    mend = "请核对文件是否完整、公钥是否正确。See whether the file is whole and the keys are right."


class Proven(NamedTuple):
    """Who contradicted themselves, how, and at which sizes of which ledger."""

    kind: Kind
    org: str
    origin: str
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Evidence:
    """Two checkpoints of one ledger; for all but a split view the signed batch with the second."""

    first: str
    second: str
    batch: bytes = b""

    def __bytes__(self) -> bytes:
        said = {
            "format": FORMAT,
            "first": self.first,
            "second": self.second,
            "batch": base64.b64encode(self.batch).decode(),
        }
        return json.dumps(said, ensure_ascii=False, indent=1).encode() + b"\n"

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """From a file; nothing is proved yet.

        Raises:
            NotAContradiction, Malformed.
        """
        if len(raw) > FILE_BYTES:
            raise NotAContradiction(because="too large", bytes=len(raw), maximum=FILE_BYTES)
        strict.read(raw, "file")
        said: Any = json.loads(raw)
        names = {"format", "first", "second", "batch"}
        if not isinstance(said, dict) or said.keys() != names or said["format"] != FORMAT:
            raise NotAContradiction(because="not of this format")
        if not all(isinstance(value, str) for value in said.values()):
            raise NotAContradiction(because="a value is no text")
        try:
            batch = base64.b64decode(said["batch"], validate=True)
        except (binascii.Error, ValueError):
            raise NotAContradiction(because="the batch is not base64") from None
        return cls(said["first"], said["second"], batch)

    def proves(self, keys: Sequence[str], hashing: Hashing | None = None) -> Proven:
        """Check it with the public keys, in base64, of whoever is accused.

        The ledger's hash is the one that a card of theirs names; a file cannot say it.

        Raises:
            NotAContradiction: or another LaneFault, which says what is wrong with it.
        """
        first, _ = _signed(self.first, keys)
        second, _ = _signed(self.second, keys)
        org, _ = epoch_of(first.origin)
        if first.origin != second.origin:
            raise NotAContradiction(because="of two ledgers", origins=(first.origin, second.origin))
        sizes = (first.size, second.size)
        if first.size == second.size and first.root != second.root:
            return Proven("split-view", org, first.origin, sizes)
        batch = self._batch(org, keys)
        if second.size > first.size:
            _must_fail(first, second, batch, hashing or ours())
            return Proven("failing-proof", org, first.origin, sizes)
        if second.size < first.size and self._was_longer_before(batch):
            return Proven("rolled-back", org, first.origin, sizes)
        raise NotAContradiction(because="the two agree", sizes=sizes)

    def _batch(self, org: str, keys: Sequence[str]) -> Batch:
        """The batch that carried the second checkpoint."""
        if not self.batch:
            raise NotAContradiction(because="no batch shows what was claimed of the two sizes")
        sealed = Sealed(self.batch)
        batch = sealed.claims(Batch)
        if batch.sender != org or not any(sealed.is_by(key) for key in keys):
            raise NotAContradiction(because="the batch is not signed by the ledger's owner")
        if batch.log is None or batch.log.checkpoint != self.second:
            raise NotAContradiction(because="the batch carries another checkpoint")
        return batch

    def _was_longer_before(self, batch: Batch) -> bool:
        """Whether facts went out in it after a witness had put the longer one down.

        The moments are the witness's and the sender's own: what this proves rests on both clocks.
        """
        lines = (each for each in Note.read(self.first.encode()).lines)
        times = [witnessed_at(line) for line in lines if line.name.endswith("/witness")]
        return bool(batch.entries) and any(time <= batch.sent_at for time in times)


def proof_from(said: LogSaid, size: int) -> list[bytes] | None:
    """The hashes that lead from a size to the checkpoint; none if it says none."""
    found = next((each for each in said.proofs if each.size == size), None)
    return [base64.b64decode(each) for each in found.hashes] if found else None


def _signed(note: str, keys: Sequence[str]) -> tuple[Checkpoint, Note]:
    origin = note.partition("\n")[0]
    return believed(note.encode(), verifiers(origin, keys))


def _must_fail(first: Checkpoint, second: Checkpoint, batch: Batch, hashing: Hashing) -> None:
    assert batch.log is not None
    proof = proof_from(batch.log, first.size)
    if proof is None:
        raise NotAContradiction(because="the batch claims no proof from that size", size=first.size)
    try:
        consistent(hashing, first.size, second.size, proof, first.root, second.root)
    except ProofInvalid:
        return
    raise NotAContradiction(because="the proof holds", sizes=(first.size, second.size))
