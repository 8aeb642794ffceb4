"""名片: who a node is, how to reach it, and by which keys it is known."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from domain import suite
from domain.organization import Peer
from domain.signet import Reads
from domain.values import OrgCode, Short, Stated
from sync.envelope import Message, Moment, Sealed
from sync.errors import Malformed
from sync.keys import NodeKeys, fingerprint, sealable, usable


class Card(Message):
    """名片: who a node is and how to reach and check it; signed by its own key."""

    KIND: ClassVar[str] = "card"

    name: Stated
    address: Stated
    verify_key: Annotated[str, StringConstraints(max_length=60)]
    sealing_key: Annotated[str, StringConstraints(max_length=60)]
    suite: Literal["Ed25519+X25519"] = "Ed25519+X25519"
    """Of its two keys."""
    algorithms: Short = "international"
    """By what it hashes and seals."""
    issued_at: Moment
    reads: Reads | None = None
    """What the node can read; later changes come on the lane."""

    @property
    def fingerprint(self) -> str:
        """To be compared by telephone."""
        return fingerprint(self.verify_key, self.sealing_key)

    def peer(self) -> Peer:
        """Its owner as a peer."""
        return Peer(
            code=self.sender,
            name=self.name,
            address=self.address,
            verify_key=self.verify_key,
            sealing_key=self.sealing_key,
            fingerprint=self.fingerprint,
            reads=self.reads,
        )


def read_card(wire: bytes) -> Card:
    """A card from its bytes; it vouches for itself: it proves possession of the key it shows.

    Raises:
        TooLarge, Forged, Malformed: also for a key with which nothing could be checked or sealed.
    """
    sealed = Sealed(wire)
    card = sealed.claims(Card)
    if not usable(card.verify_key):
        raise Malformed(where="verify_key")
    if not sealable(card.sealing_key):
        raise Malformed(where="sealing_key")
    return sealed.open(Card, card.verify_key)


def make_card(  # noqa: PLR0913, PLR0917 - what stands on a card.
    keys: NodeKeys,
    code: OrgCode,
    name: str,
    address: str,
    now: datetime,
    reads: dict[str, int] | None = None,
) -> bytes:
    """This node's card."""
    card = Card(
        sender=code,
        name=name,
        address=address,
        algorithms=suite.chosen().name,
        verify_key=keys.verify_key,
        sealing_key=keys.sealing_key,
        issued_at=now,
        reads=reads,
    )
    return card.signed(keys)
