"""信任: which of a peer's keys signed a message, and what that key still counts for."""

from __future__ import annotations

from typing import TypeVar

from domain.organization import FormerKey, Organization
from domain.values import OrgCode
from sync.envelope import Batch, LaneReceipt, Message, Sealed, Want
from sync.errors import Forged, KeyOver, NotEnrolled

FORMER_MAX = 16
"""Former keys of one peer that an arriving message is tried with; old evidence with all of them."""

M = TypeVar("M", bound=Message)


def opened(kind: type[M], sealed: Sealed, us: Organization | None) -> tuple[M, FormerKey | None]:
    """A peer's message, and the former key that signed it; None if it is the one in use.

    Raises:
        NotEnrolled, Forged, Malformed.
        KeyOver: that key does not count for it any more.
    """
    code = sealed.sender
    if us is None or code not in us.peers:
        raise NotEnrolled(sender=code)
    try:
        return sealed.open(kind, us.peers[code].verify_key), None
    except Forged:
        for former in reversed(us.former.get(code, ())[-FORMER_MAX:]):
            if sealed.is_by(former.verify_key):
                message = sealed.open(kind, former.verify_key)
                _must_count(message, former)
                return message, former
        raise


def vouching(us: Organization | None, code: OrgCode) -> tuple[str, ...]:
    """The keys by which an enrolled peer's file may be signed: in use, or rotated since.

    What it brings is believed message by message; a revoked key brings nothing.
    """
    assert us is not None
    former = us.former.get(code, ())[-FORMER_MAX:]
    rotated = (key.verify_key for key in reversed(former) if not key.revoked)
    return (us.peers[code].verify_key, *rotated)


def signer(wire: bytes, us: Organization) -> str | FormerKey | None:
    """Whose word a kept message is: a peer's key in use, or a former one; None for nobody's.

    Raises:
        LaneFault: it is no message.
    """
    sealed = Sealed(wire)
    code: OrgCode = sealed.sender
    peer = us.peers.get(code)
    if peer is not None and sealed.is_by(peer.verify_key):
        return peer.verify_key
    return next((key for key in us.former.get(code, ()) if sealed.is_by(key.verify_key)), None)


def _must_count(message: Message, former: FormerKey) -> None:
    """What was recorded under a former key stays; nothing that is new may follow.

    A batch can prove that it says nothing new by its numbers. An answer names only a moment, which
    a thief would choose: of a revoked key none is taken.
    """
    match message:
        case Batch():
            counts = message.last <= former.until
        case LaneReceipt() | Want():
            counts = not former.revoked and message.at <= former.since
        case _:
            counts = False
    if not counts:
        raise KeyOver(
            sender=message.sender,
            key=former.fingerprint,
            until=former.until,
            succeeded=former.succeeded,
        )
