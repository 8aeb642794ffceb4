"""证明文件: one fact's place in a signed ledger, in a file of its own (C2SP tlog-proof)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from domain.tree import Hashing, ProofInvalid, included, ours
from sync.checkpoint import Checkpoint, CheckpointInvalid, believed, natural
from sync.errors import LaneFault
from sync.note import NOTE_BYTES, NoteInvalid, Verifier, unb64

PROOF_LINES_MAX = 63
"""Hashes of a proof: no tree of fewer than 2**63 leaves needs more."""

PROOF_BYTES = 128 * 1024
"""Of a whole file."""

EXTRA_BYTES = 16 * 1024
"""Of the bytes that whoever made the file has added; nothing vouches for them."""

MEDIA_TYPE = "text/plain; charset=utf-8"
FIRST = "c2sp.org/tlog-proof@v1"


class ProofFileInvalid(LaneFault):
    """证明文件格式不正确。The file is not a tlog-proof as specified."""

    mend = "请重新下载证明文件。Have the proof made anew."


class NotProved(LaneFault):
    """证明不成立：所签台账没有该事实。The proof does not hold: no such fact is in that ledger."""

    mend = "请核对事实与证明是否配套。See whether fact and proof belong together."


@dataclass(frozen=True)
class Proof:
    """A leaf's index, the hashes from it up to the root, and the checkpoint with that root."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __bytes__(self) -> bytes:
        lines = [FIRST, f"index {self.index}", *(b64encode(h).decode() for h in self.hashes), ""]
        if self.extra is not None:
            lines.insert(1, f"extra {b64encode(self.extra).decode()}")
        return "".join(f"{line}\n" for line in lines).encode() + self.checkpoint

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """From a file; nothing is proved yet.

        Raises:
            ProofFileInvalid.
        """
        if len(raw) > PROOF_BYTES:
            raise ProofFileInvalid(because="too large", bytes=len(raw), maximum=PROOF_BYTES)
        above, between, checkpoint = raw.partition(b"\n\n")
        try:
            first, *lines = above.decode("ascii").split("\n")
        except UnicodeDecodeError as fault:
            raise ProofFileInvalid(because="not ASCII", at=fault.start) from None
        if not between or first != FIRST or not lines:
            raise ProofFileInvalid(because="the first line, or the checkpoint, is missing")
        try:
            extra = unb64(lines.pop(0)[6:]) if lines[0].startswith("extra ") else None
            if not lines or not lines[0].startswith("index "):
                raise ProofFileInvalid(because="no index")
            index, hashes = natural(lines[0][6:]), tuple(map(unb64, lines[1:]))
        except (NoteInvalid, CheckpointInvalid) as fault:
            raise ProofFileInvalid(because=str(fault)) from None
        if len(hashes) > PROOF_LINES_MAX or len(extra or b"") > EXTRA_BYTES:
            raise ProofFileInvalid(because="too many lines", maximum=PROOF_LINES_MAX)
        return cls(index, hashes, checkpoint[: NOTE_BYTES + 1], extra)

    def proves(
        self, leaf: bytes, known: Sequence[Verifier], hashing: Hashing | None = None
    ) -> Checkpoint:
        """Check that a leaf, by its data, stands in the ledger that one of these keys has signed.

        Raises:
            NotProved, NoteInvalid, NoteForged, NoteUnsigned, CheckpointInvalid.
        """
        said, _ = believed(self.checkpoint, known)
        hashing = hashing or ours()
        hashed = hashing.leaf(leaf)
        try:
            included(hashing, hashed, self.index, said.size, self.hashes, said.root)
        except ProofInvalid as fault:
            raise NotProved(because=str(fault), index=self.index, size=said.size) from None
        return said
