"""对账: the side that asks walks down from the roots to the rows that differ, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

from domain import suite
from domain.organization import Peer
from domain.sealing import draw
from domain.values import DataClass, OrgCode
from sync.certificate import Certificate, Model, sign, signed_by
from sync.compare import (
    RANGES_MAX,
    ROWS_MAX,
    Agreed,
    Answer,
    Ask,
    AskRanges,
    AskRows,
    Cut,
    Open,
    Opened,
    Propose,
    RangeName,
    Row,
    RowName,
    ToldRanges,
    ToldRows,
    Waiting,
    salt_of,
)
from sync.envelope import BATCH_BYTES, Sealed
from sync.errors import Forged, LaneFault, Malformed, Misaddressed, TooLarge
from sync.keys import NodeKeys
from sync.ranges import DEPTH_MAX, FAN, KEY_SIZE, Branch, DoesNotAddUp, Hashes

ROUNDS_MAX = DEPTH_MAX + 1
"""Of questions about ranges; every one goes a digit deeper, and a key has no more digits."""

DIFFERENCES_MAX = 100
"""Rows that one comparison names; there may be more."""

T = TypeVar("T", bound=Answer)


class NotAgreed(LaneFault):
    """对方不同意该证明。The peer does not sign: its own snapshot says something else."""


class Basis(NamedTuple):
    """What is kept beside a certificate: the salt of its roots, where the ledger stood."""

    salt: bytes
    position: int


class Snapshot(Protocol):
    """What one side shares with the other, at one moment."""

    @property
    def cut(self) -> Cut:
        """Where both lanes stand."""

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What is not level with the ledger."""

    @property
    def hashes(self) -> dict[str, Hashes]:
        """By table, every row the pair shares."""

    @property
    def basis(self) -> Basis:
        """By what the roots can be computed again."""

    def row(self, model: str, key: UUID) -> Row:
        """A row field by field, with the facts behind it."""


class Differing(NamedTuple):
    """Where two snapshots differ, as far as one comparison names it."""

    rows: tuple[RowName, ...]
    more: bool


def models_of(hashes: dict[str, Hashes]) -> tuple[Model, ...]:
    """A snapshot summed up."""
    summed = {name: each.branch() for name, each in sorted(hashes.items())}
    return tuple(Model(name=n, rows=b.count, root=b.digest) for n, b in summed.items())


class Comparison:
    """One session with one peer, on the side that asks; `post` carries bytes there and back."""

    def __init__(
        self,
        org: OrgCode,
        peer: Peer,
        keys: NodeKeys,
        post: Callable[[bytes], bytes],
        clock: Callable[[], datetime],
    ) -> None:
        self._org, self._peer, self._keys = org, peer, keys
        self._post, self._clock = post, clock
        self._session = UUID(bytes=draw(16), version=4)
        self.messages = 0

    def open(self, grants: tuple[DataClass, ...]) -> tuple[Opened, bytes]:
        """Let the peer take its snapshot, knowing what it may open; with it this session's salt."""
        nonce = draw(32).hex()
        opened = self._ask(Opened, Open, nonce=nonce, grants=grants)
        return opened, salt_of(nonce, opened.nonce)

    def differing(self, ours: dict[str, Hashes], opened: Opened) -> Differing:
        """The rows that differ.

        Raises:
            DoesNotAddUp: the peer contradicts itself.
        """
        theirs = {m.name: Branch(count=m.rows, digest=m.root) for m in opened.models}
        if theirs.keys() != ours.keys():
            raise DoesNotAddUp(models=sorted(theirs.keys() ^ ours.keys()))
        found: list[RowName] = []
        level = [(n, "", b) for n, b in sorted(theirs.items()) if b != ours[n].branch()]
        more = False
        for _ in range(ROUNDS_MAX):
            if not level or len(found) > DIFFERENCES_MAX:
                break
            more = more or len(level) > RANGES_MAX
            level = self._descend(ours, level[:RANGES_MAX], found)
        return Differing(
            tuple(found[:DIFFERENCES_MAX]), more or bool(level) or len(found) > DIFFERENCES_MAX
        )

    def _descend(
        self,
        ours: dict[str, Hashes],
        level: list[tuple[str, str, Branch]],
        found: list[RowName],
    ) -> list[tuple[str, str, Branch]]:
        names = tuple(RangeName(model=model, prefix=prefix) for model, prefix, _ in level)
        told = self._ask(ToldRanges, AskRanges, ranges=names).ranges
        if len(told) != len(level):
            raise DoesNotAddUp(asked=len(level), told=len(told))
        below = []
        for (model, prefix, branch), detail in zip(level, told, strict=True):
            detail.must_be(branch, prefix)
            if not detail.parts:
                theirs = {bytes.fromhex(entry) for entry in detail.entries}
                apart = theirs.symmetric_difference(ours[model].within(prefix))
                keys = {entry[:KEY_SIZE] for entry in apart}
                found += (RowName(model=model, key=UUID(bytes=key)) for key in sorted(keys))
            for digit, part in zip(FAN, detail.parts, strict=False):
                if part != ours[model].branch(prefix + digit):
                    below.append((model, prefix + digit, part))
        return below

    def rows(self, names: tuple[RowName, ...]) -> list[Row]:
        """What the peer has in these places."""
        told: list[Row] = []
        for start in range(0, len(names), ROWS_MAX):
            page = names[start : start + ROWS_MAX]
            rows = self._ask(ToldRows, AskRows, rows=page).rows
            if len(rows) != len(page):
                raise DoesNotAddUp(asked=len(page), told=len(rows))
            told += rows
        return told

    def agree(self, certificate: Certificate) -> tuple[str, str]:
        """The text of a certificate and the peer's signature under it.

        Raises:
            NotAgreed, Forged.
        """
        text = certificate.text()
        ours = sign(text, self._org, self._keys).signature
        agreed = self._ask(Agreed, Propose, certificate=text, signature=ours)
        if not signed_by(text, agreed.signature, self._peer.verify_key):
            raise Forged(sender=self._peer.code)
        return text, agreed.signature

    def _ask(self, expected: type[T], kind: type[Ask], **said: object) -> T:
        question = kind.model_validate(
            {
                "sender": self._org,
                "receiver": self._peer.code,
                "session": self._session,
                "at": self._clock(),
                **said,
            }
        ).signed(self._keys)
        self.messages += 1
        wire = self._post(question)
        if len(wire) > BATCH_BYTES:
            raise TooLarge(bytes=len(wire), maximum=BATCH_BYTES)
        answer = Sealed(wire).open(expected, self._peer.verify_key)
        if answer.sender != self._peer.code or answer.receiver != self._org:
            raise Misaddressed(receiver=answer.receiver, sender=answer.sender)
        if answer.answering != suite.digest(question).hex():
            raise Malformed(where="answering")
        return answer
