"""转请: an erasure that carries another one further, and becomes what that one becomes."""

from __future__ import annotations

from uuid import UUID

from domain.erasure import Erasure, State
from domain.errors import Refusal
from domain.values import OrgCode

ASKED_FOR = {"classes", "ground", "by", "document"}
TERMS = {"reason", "basis", "until", "purposes"}


class FollowsAnother(Refusal):
    """该申请随他组织的申请办理。The request follows another organization's."""

    mend = "请由原申请组织办理。Whoever asked first decides."


def extend(
    extension: Erasure, other: Erasure, streams: tuple[UUID, ...], hearers: tuple[OrgCode, ...]
) -> None:
    """Ask those to whom keys were granted here, and whom the other does not ask."""
    assert other.requested is not None
    said = other.requested.model_dump(include=ASKED_FOR)
    extension.trigger(
        Erasure.Requested, share_with=hearers, streams=streams, **said, extends=other.id
    )


def follow(extension: Erasure, other: Erasure) -> None:
    """Say of the extension what has been said of the other since.

    Two persons have granted that one: a second pair is not asked for.
    """
    here, there = extension.state, other.state
    if here in {State.GRANTED, State.COMPLETED}:
        return
    match there:
        case State.GRANTED | State.COMPLETED:
            extension.trigger(Erasure.Granted, asked=extension.audience)
        case State.RESTRICTED if here is State.REQUESTED and other.restriction is not None:
            terms = other.restriction.model_dump(include=TERMS)
            extension.trigger(Erasure.Restricted, **terms)
        case State.LIFTED if here is State.RESTRICTED:
            extension.trigger(Erasure.Lifted, reason=other.reason)
        case State.REFUSED | State.LIFTED if here is State.REQUESTED:
            extension.trigger(Erasure.Refused, reason=other.reason)
        case _:
            pass
