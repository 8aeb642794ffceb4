"""故意埋下的错误·台账: bugs in what is signed of a ledger, and in what witnesses make of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sync.log import Signed
from sync.offering import Offering
from sync.witness import Witness
from tests.support.memory.tree import MemoryTree

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def signed_before_it_is_kept(patch: Patch) -> None:
    """What is signed is remembered until the next start."""

    def keeping(self: Any, signed: Signed, at: datetime) -> None:
        self.__dict__.setdefault("signed_in_memory", []).append((signed, at))

    def newest(self: Any) -> Signed | None:
        known = self.__dict__.get("signed_in_memory")
        return known[-1][0] if known else None

    def signed_at(self: Any, epoch: int, size: int) -> Signed | None:
        known = self.__dict__.get("signed_in_memory", ())
        return next((each for each, _ in known if each[:2] == (epoch, size)), None)

    patch.setattr(MemoryTree, "keep", keeping)
    patch.setattr(MemoryTree, "newest", newest)
    patch.setattr(MemoryTree, "signed_at", signed_at)


def signed_another_root(patch: Patch) -> None:
    """Now and then a checkpoint's root is not that of its entries."""
    keep = MemoryTree.keep

    def keeping(self: Any, signed: Signed, at: datetime) -> None:
        if signed.size % 5 == 0:
            signed = signed._replace(root=self.hashing.leaf(signed.root))
        keep(self, signed, at)

    patch.setattr(MemoryTree, "keep", keeping)


def cosigned_by_whom_it_was_shown(patch: Patch) -> None:
    """A receipt's cosignature is put under the newest checkpoint, whichever it is of."""
    keep = Offering._cosignatures  # noqa: SLF001

    def keeping(self: Any, peer: str, raw: str, us: Any) -> tuple[tuple[int, int], list[str]]:
        at, lines = keep(self, peer, raw, us)
        newest = self._log.newest()
        return newest[:2] if newest else at, lines

    patch.setattr(Offering, "_cosignatures", keeping)


def a_proof_falls_short(patch: Patch) -> None:
    """A proof lacks its last hash."""
    offered = Offering._offer  # noqa: SLF001

    def offering(self: Any, peer: str, newest: Signed) -> Any:
        offer = offered(self, peer, newest)
        short = tuple(p.model_copy(update={"hashes": p.hashes[:-1]}) for p in offer.said.proofs)
        return offer._replace(said=offer.said.model_copy(update={"proofs": short}))

    patch.setattr(Offering, "_offer", offering)


def witnessed_and_forgotten(patch: Patch) -> None:
    """A witness cosigns, and does not put down what."""
    judge, heard = Witness.judge, Witness.heard

    def judging(self: Any, batch: Any, *said: Any, **more: Any) -> None:
        if (seen := judge(self, batch, *said, **more)) is not None:
            self.__dict__.setdefault("shown", {})[batch.sender] = seen.note

    def hearing(self: Any, peer: str) -> Any:
        note = self.__dict__.get("shown", {}).get(peer)
        return heard(self, peer).model_copy(update={"checkpoint": note} if note else {})

    patch.setattr(Witness, "judge", judging)
    patch.setattr(Witness, "heard", hearing)


BUGS: tuple[Plant, ...] = (
    signed_before_it_is_kept,
    signed_another_root,
    cosigned_by_whom_it_was_shown,
    a_proof_falls_short,
    witnessed_and_forgotten,
)
