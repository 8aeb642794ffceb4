"""故意埋下的错误·密钥与数据包: in how keys follow one another, in what travels as files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.key_change import KeyChange
from sync import lane_bundle, succession, trust
from sync.key_folder import KeyFolder
from sync.lane_bundle import Bundles
from tests.support.memory.lanes import MemoryLanes

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def given_up_and_believed(patch: Patch) -> None:
    """A key that was given up counts for what is new."""
    patch.setattr(trust, "_must_count", lambda *_: None)


def given_up_and_answering(patch: Patch) -> None:
    """A key that was given up acknowledges on."""
    count = trust._must_count  # noqa: SLF001

    def counting(message: Any, former: Any) -> None:
        if message.KIND == "batch":
            count(message, former)

    patch.setattr(trust, "_must_count", counting)


def under_way_and_refused(patch: Patch) -> None:
    """What was signed before a rotation counts for nothing after it."""

    def opened(kind: Any, sealed: Any, us: Any) -> Any:
        return sealed.open(kind, us.peers[sealed.sender].verify_key), None

    patch.setattr(trust, "opened", opened)


def repeated_and_refused(patch: Patch) -> None:
    """The number up to which an old key counts is forgotten."""
    adopted = succession.adopted

    def adopting(ledger: Any, taken: Any, _: int, now: Any) -> Any:
        return adopted(ledger, taken, 0, now)

    patch.setattr(succession, "adopted", adopting)


def new_keys_passed_over(patch: Patch) -> None:
    """A peer's change of keys is recorded, and changes nothing."""
    patch.setattr(succession, "adopted", lambda *_: [])


def old_key_gone_at_once(patch: Patch) -> None:
    """Nothing is signed by the old key from the change on."""
    choose = KeyFolder.choose

    def choosing(self: Any, verify_key: str, _: Any, named: Any) -> None:
        choose(self, verify_key, None, named)

    patch.setattr(KeyFolder, "choose", choosing)


def rotation_waits_for_nobody(patch: Patch) -> None:
    """A second change of keys begins while peers have not heard of the first."""
    patch.setattr(KeyChange, "waiting_for", lambda _: set())


def files_by_the_new_key_alone(patch: Patch) -> None:
    """A file that announces a new key is signed by that alone."""
    pack = lane_bundle.pack

    def packing(header: Any, cover: Any, messages: Any, keys: Any, sealing_key: str) -> bytes:
        signers, keys.signers = keys.signers, keys.signers[:1]
        try:
            return pack(header, cover, messages, keys, sealing_key)
        finally:
            keys.signers = signers

    patch.setattr(lane_bundle, "pack", packing)


def files_under_way_refused(patch: Patch) -> None:
    """A file that was written before a rotation is nobody's after it."""
    patch.setattr(trust, "vouching", lambda us, code: (us.peers[code].verify_key,))


def lost_files_never_made_good(patch: Patch) -> None:
    """A file begins where the last one ended, whether or not that has arrived."""
    patch.setattr(Bundles, "_start", lambda self, code: self._store.exported(code).covered)


def answers_in_files_unread(patch: Patch) -> None:
    """A file brings facts, and its receipt is passed over."""
    patch.setattr(Bundles, "_answered", lambda *_: None)


def files_for_anybody(patch: Patch) -> None:
    """A file is opened by whoever has it, so that its bearer is told something else."""
    open_ = Bundles._open  # noqa: SLF001

    def opening(self: Any, wire: bytes, taken: Any) -> Any:
        org, self._org = self._org, lane_bundle.read_header(wire).receiver
        try:
            return open_(self, wire, taken)
        finally:
            self._org = org

    patch.setattr(Bundles, "_open", opening)


def file_numbers_come_again(patch: Patch) -> None:
    """What was written is not put down."""
    patch.setattr(MemoryLanes, "keep_export", lambda *_: None)


def wrong_files_uncounted(patch: Patch) -> None:
    """A file that is refused leaves no trace."""
    patch.setattr(Bundles, "_keep_evidence", lambda *_: None)


BUGS: tuple[Plant, ...] = (
    given_up_and_believed,
    given_up_and_answering,
    under_way_and_refused,
    repeated_and_refused,
    new_keys_passed_over,
    old_key_gone_at_once,
    rotation_waits_for_nobody,
    files_by_the_new_key_alone,
    files_under_way_refused,
    lost_files_never_made_good,
    answers_in_files_unread,
    files_for_anybody,
    file_numbers_come_again,
    wrong_files_uncounted,
)
