"""检查点: a ledger's size and root under its organization's signature (C2SP tlog-checkpoint)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from domain.tree import HASH_SIZE
from domain.values import OrgCode
from sync.errors import LaneFault
from sync.keys import NodeKeys
from sync.note import Note, Verifier, signed, unb64

SIZE_MAX = 2**53 - 1
"""Leaves of a ledger; a reader of JSON anywhere holds it exactly."""

EPOCH_MAX = 2**31 - 1
"""Of one organization's ledger; a new one begins when what was signed is lost."""

EXTENSIONS_MAX = 16
"""Lines after the root; ours has none."""

LINES = 3
"""Origin, size, root."""

SUITE = "SHA-256+Ed25519"
"""The tree's hash, and the signature. A ledger hashed otherwise is another log by its origin."""


class CheckpointInvalid(LaneFault):
    """检查点格式不正确。The text is not a checkpoint as specified."""

    mend = "请按 C2SP tlog-checkpoint 改正所指之处。Mend what is named: C2SP tlog-checkpoint."


def origin_of(org: OrgCode, epoch: int) -> str:
    """The name of one organization's ledger in one epoch; its key goes by the same name."""
    return f"{org}/ledger/{epoch}"


def epoch_of(origin: str) -> tuple[OrgCode, int]:
    """Whose ledger an origin line names, and which epoch of it.

    Raises:
        CheckpointInvalid: it is no ledger of ours or of a peer.
    """
    org, _, epoch = origin.rpartition("/ledger/")
    if not org or "/" in org:
        raise CheckpointInvalid(because="not the name of a ledger", at=origin[:80])
    return org, natural(epoch, EPOCH_MAX)


def witness_of(org: OrgCode) -> str:
    """The name by which an organization witnesses what others have signed."""
    return f"{org}/witness"


@dataclass(frozen=True)
class Checkpoint:
    """What a note says of a log."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As it is signed."""
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def read(cls, text: str) -> Self:
        """From a note's text.

        Raises:
            CheckpointInvalid, NoteInvalid: the root is not base64.
        """
        lines = text.split("\n")
        if len(lines) <= LINES or lines.pop() or not all(lines):
            raise CheckpointInvalid(because="fewer than three lines, or an empty one")
        origin, size, root, *more = lines
        if len(more) > EXTENSIONS_MAX:
            raise CheckpointInvalid(because="too many lines", maximum=EXTENSIONS_MAX)
        made = cls(origin, natural(size), unb64(root), tuple(more))
        if len(made.root) != HASH_SIZE:
            raise CheckpointInvalid(because="the root is not of 32 bytes", bytes=len(made.root))
        return made

    def signed(self, keys: NodeKeys) -> Note:
        """Under every key in use: who knows the newer or the older of two, believes."""
        lines = (signed(self.text, self.origin, pair) for pair in keys.signers)
        return Note(self.text, tuple(lines))


def believed(raw: bytes, known: Sequence[Verifier]) -> tuple[Checkpoint, Note]:
    """A checkpoint that one of these keys has signed.

    Raises:
        NoteInvalid, NoteForged, NoteUnsigned, CheckpointInvalid.
    """
    note = Note.read(raw)
    note.proved(known)
    return Checkpoint.read(note.text), note


def natural(written: str, maximum: int = SIZE_MAX) -> int:
    """A whole number in its one spelling: no sign, no zero in front, ASCII.

    Raises:
        CheckpointInvalid.
    """
    if not (written.isascii() and written.isdigit()) or (written[0] == "0" and written != "0"):
        raise CheckpointInvalid(because="not a number", at=written[:40])
    if len(written) > len(str(maximum)) or int(written) > maximum:
        raise CheckpointInvalid(because="too large", at=written[:40], maximum=maximum)
    return int(written)


def verifiers(origin: str, keys: Iterable[str]) -> list[Verifier]:
    """The keys, in base64, an organization has signed its ledger with: those in use, and former."""
    return [Verifier.of(origin, key) for key in keys]
