"""故意埋下的错误·复原: bugs of the fence, of what is fetched back, and of a new epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.restoring import Restoring
from sync.fence import Fence
from sync.healing import Healer
from sync.ordering import Move, Ordering
from sync.recording_back import RecordingBack
from sync.taking_back import Heard, Listening

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def the_fence_never_goes_up(patch: Patch) -> None:
    """Whatever a node is shown of its own, it goes on."""

    def looking(self: Any, peer: str, _: object) -> None:
        self._awaited.discard(peer)

    patch.setattr(Fence, "look", looking)


def answered_behind_the_fence(patch: Patch) -> None:
    """A fenced node goes on to record what officers ask."""
    patch.setattr(Restoring, "_must_be_whole", lambda *_: None)


def the_last_returned_fact_is_dropped(patch: Patch) -> None:
    """Of a lane that is given back the last number is passed over."""
    hear = Listening.hear

    def hearing(self: Any, *said: Any) -> Heard:
        heard = hear(self, *said)
        short = len(heard.rows) > 1
        return replace(heard, rows=heard.rows[:-1], number=heard.number - 1) if short else heard

    patch.setattr(Listening, "hear", hearing)


def claims_are_not_heard(patch: Patch) -> None:
    """A number that a peer holds is given to another fact."""
    greet = Listening.greet

    def greeting(self: Any, *said: Any) -> bool:
        greet(self, *said)
        return False

    patch.setattr(Listening, "greet", greeting)


def recorded_in_any_order(patch: Patch) -> None:
    """What is made again is recorded in the likeliest order, and its roots are not looked at."""

    def following(self: Any, ways: Any) -> tuple[Move, ...] | None:
        order, taken = next(ways, (None, None))
        if order is not None:
            self._trees.append(self._trees[-1].and_then(move.leaf for move in order))
            self._taken.append(taken)
        return order

    patch.setattr(Ordering, "_next", following)


def a_new_epoch_claims_to_share_all(patch: Patch) -> None:
    """A statement says that nothing is given up."""
    patch.setattr(Healer, "_shared", lambda self, *_: self._tree.head().size)


def returned_without_keys(patch: Patch) -> None:
    """The keys that come back with facts are not kept."""
    patch.setattr(RecordingBack, "_kept", lambda *_: [])


BUGS: tuple[Plant, ...] = (
    the_fence_never_goes_up,
    answered_behind_the_fence,
    the_last_returned_fact_is_dropped,
    claims_are_not_heard,
    recorded_in_any_order,
    a_new_epoch_claims_to_share_all,
    returned_without_keys,
)
