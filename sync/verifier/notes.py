"""检查点: reads a signed checkpoint (C2SP tlog-checkpoint), and who has cosigned it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from sync.verifier.defect import fail, unb64
from sync.verifier.keys import signed

ED25519, COSIGNATURE = 1, 4
"""Kinds of signatures: of the log, and of a witness."""

LINES_MAX = 100
SIZE_DIGITS = 16
_HASH, _ID, _TIME = 32, 4, 8

Known = Mapping[str, Collection[str]]
"""By organization, the keys (base64) that the reader knows."""


class Line(NamedTuple):
    """A signature: whose name, the key's id, the bytes."""

    name: str
    id: bytes
    signature: bytes


class Witness(NamedTuple):
    """见证: who has cosigned, and when, as it says."""

    org: str
    at: datetime


class Checkpoint(NamedTuple):
    """Size and root of a log, and the lines under them; nothing is proved by reading it."""

    org: str
    origin: str
    size: int
    root: bytes
    text: str
    lines: tuple[Line, ...]

    def must_be_by(self, keys: Iterable[str], where: str) -> None:
        """One of these keys has signed it, and none of its lines is a wrong one by them.

        Raises:
            Defect.
        """
        found = [self._proved(self.origin, key, ED25519, where) for key in keys]
        if not any(found):
            fail(where, "no key of this organization has signed the checkpoint", org=self.org)

    def witnesses(self, known: Known, where: str) -> list[Witness]:
        """The organizations, known to the reader, that have cosigned.

        Raises:
            Defect: a line by a known witness is wrong.
        """
        found = []
        for org, keys in known.items():
            lines = [self._proved(f"{org}/witness", key, COSIGNATURE, where) for key in keys]
            times = [int.from_bytes(each.signature[:_TIME]) for each in lines if each]
            if times and org != self.org:
                found.append(Witness(org, datetime.fromtimestamp(max(times), UTC)))
        return found

    def _proved(self, name: str, key: str, kind: int, where: str) -> Line | None:
        told = name.encode() + b"\n" + bytes([kind]) + base64.b64decode(key)
        wanted = name, hashlib.sha256(told).digest()[:_ID]
        line = next((each for each in self.lines if each[:2] == wanted), None)
        if line is None:
            return None
        message, signature = self.text.encode(), line.signature
        if kind == COSIGNATURE:
            time, signature = int.from_bytes(signature[:_TIME]), signature[_TIME:]
            message = f"cosignature/v1\ntime {time}\n".encode() + message
            if time >= 1 << 33:
                fail(where, f"a cosignature by {name} has no time")
        if not signed(key, message, signature):
            fail(where, f"a signature is not by {name}, whose key it names")
        return line


def read(note: str, where: str) -> Checkpoint:
    """From its text.

    Raises:
        Defect.
    """
    text, between, under = note.rpartition("\n\n")
    told = text.split("\n")
    if not between or not under.endswith("\n") or len(told) < 3:  # noqa: PLR2004 - origin, size, root.
        fail(where, "not a checkpoint")
    written = under[:-1].split("\n")
    if len(written) > LINES_MAX:
        fail(where, f"more than {LINES_MAX} signatures")
    origin, size = told[:2]
    org, *rest = origin.split("/")
    if len(rest) != 2 or rest[0] != "ledger" or not _natural(rest[1]) or not _natural(size):  # noqa: PLR2004
        fail(where, "not a ledger's origin line and size")
    lines = tuple(_line(each, where) for each in written)
    return Checkpoint(org, origin, int(size), unb64(told[2], where, _HASH), text + "\n", lines)


def _natural(written: str) -> bool:
    digits = written.isascii() and written.isdigit() and len(written) <= SIZE_DIGITS
    return digits and written[0] != "0"


def _line(written: str, where: str) -> Line:
    name, _, coded = written.removeprefix("— ").partition(" ")
    raw = unb64(coded, where)
    if not written.startswith("— ") or not name or len(raw) <= _ID:
        fail(where, "not a line of a signature")
    return Line(name, raw[:_ID], raw[_ID:])
