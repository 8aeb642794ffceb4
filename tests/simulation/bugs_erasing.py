"""故意埋下的错误·删除: bugs in how a person is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.erasure import eraser
from api.erasure.eraser import Eraser
from api.erasure.extending import Extending
from api.service import BY_ITSELF
from api.storage.keyring import NodeKeyring
from domain.commands import CompleteErasure
from domain.erasure import State
from tests.support.memory.erased import MemoryClosing

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def what_is_closed_opens(patch: Patch) -> None:
    """A key that was destroyed is held in memory."""
    patch.setattr(NodeKeyring, "forget", lambda *_: None)
    patch.setattr(NodeKeyring, "_opens", lambda *_: True)


def names_stay_on_the_board(patch: Patch) -> None:
    """Keys are destroyed, and what they have opened is still shown."""
    patch.setattr(MemoryClosing, "_empty_models", lambda *_: None)


def holders_are_not_asked(patch: Patch) -> None:
    """Whoever holds a key of the person does not hear of it."""
    patch.setattr(eraser, "organizations", lambda *_: ())


def keys_are_passed_over(patch: Patch) -> None:
    """What is closed is put down as destroyed, and its keys stay."""
    patch.setattr(MemoryClosing, "keys", lambda *_: {})


def completed_by_the_first(patch: Patch) -> None:
    """An erasure is complete when the one who asked has carried it out."""

    def completing(self: Any, known: list[Any]) -> int:
        mine = [e for e in known if e.keeper == self._ledger.org and e.state is State.GRANTED]
        for erasure in mine:
            self._execute(CompleteErasure(erasure=erasure.id), BY_ITSELF)
        return len(mine)

    patch.setattr(Eraser, "_complete", completing)


def nobody_is_asked_further(patch: Patch) -> None:
    """Who had keys by way of another, and does not know the asker, hears of nothing."""
    patch.setattr(Extending, "passed_to", lambda *_: ())


def further_answers_are_kept_to_oneself(patch: Patch) -> None:
    """What is answered to who asked further is not told to who asked first."""
    patch.setattr(Extending, "_telling", lambda *_: [])


BUGS: tuple[Plant, ...] = (
    what_is_closed_opens,
    names_stay_on_the_board,
    holders_are_not_asked,
    keys_are_passed_over,
    completed_by_the_first,
    nobody_is_asked_further,
    further_answers_are_kept_to_oneself,
)
