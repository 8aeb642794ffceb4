"""名片核对: a card as somebody hands it in, and what is wrong with it in words that help."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from domain import suite
from domain.errors import Refusal
from domain.pact import Sharing
from domain.purposes import Purpose
from domain.values import DataClass, Day, Short, Stated, Text, Value
from sync.address import wrong_with
from sync.card import Card, read_card
from sync.errors import Forged, LaneFault

CARD_MAX = 16_000
"""Characters of a card; most of them say what the node can read."""

_WRONG = {
    "header": "不是名片，或第一行不完整。It is no card, or its first line is not complete",
    "kind": "这是另一种报文，不是名片。It is another message, not a card",
    "version": "名片的格式比本节点新。Its form is newer than this node",
    "sender": "名片内外写的不是同一个组织。It names two organizations",
    "algorithms": (
        "对方部署的算法组与本节点不同，双方须一致。"
        "Its deployment hashes and seals by other algorithms; both sides must choose the same suite"
    ),
    "suite": "名片用了本节点不识别的算法。It names a suite of algorithms unknown here",
    "verify_key": "签名公钥不能使用。Nothing can be checked with its public key",
    "sealing_key": "加密公钥不能使用。Nothing can be sealed to its public key",
    "body": "名片内容不完整或被改动。Its content is cut off or altered",
}
_FORGED = "内容与签名不符：被改动过，或是别人的签名。The signature does not fit what it says"


class BadCard(Refusal):
    """名片不正确。The card is not valid."""

    kind = "invalid"
    mend = (
        "请对方重新导出名片，原样发来。Ask them to export their card again, and send it as it is."
    )


class FingerprintDiffers(Refusal):
    """核对码不一致。The fingerprint is not the card's."""

    kind = "invalid"
    mend = "请电话核对 8 组字符；不一致不要登记。Compare the 8 groups by telephone."


class Enrolment(Value):
    """登记对方: the card as its node gives it, and what is agreed that its owner may open of ours.

    With `grants` a pact is concluded in the same act, or changed: from today, as long as
    `pact_days` says and for what the classes are processed, unless it is said otherwise.
    """

    card: Annotated[str, Field(max_length=CARD_MAX)]
    fingerprint: Annotated[str, Field(max_length=60)]
    grants: tuple[DataClass, ...] = ()
    lane: Literal["bundle"] | None = None
    purposes: tuple[Purpose, ...] | None = None
    until: Day | None = None
    basis: Sharing | None = None
    document: Text | None = None
    signed_by: Text | None = None

    def agreed(self) -> dict[str, Any]:
        """What is said of the pact, besides the classes."""
        named = ("purposes", "until", "basis", "document", "signed_by")
        return {name: getattr(self, name) for name in named}


class Rekeying(Value):
    """重新登记: another card of a peer whose old key is lost or stolen; two persons say so."""

    card: Annotated[str, Field(max_length=CARD_MAX)]
    fingerprint: Annotated[str, Field(max_length=60)]
    reason: Stated
    second_person: Annotated[Short, StringConstraints(min_length=1)]


def compared(asked: Enrolment | Rekeying) -> Card:
    """The card, if it is whole and the fingerprint is the one that was heard.

    Raises:
        BadCard, FingerprintDiffers.
    """
    try:
        card = read_card(asked.card.strip().encode())
    except Forged:
        raise BadCard(where="signature", because=_FORGED) from None
    except LaneFault as fault:
        where = str(fault.facts.get("where", "body")).partition(".")[0]
        raise BadCard(where=where, because=_WRONG.get(where, _WRONG["body"])) from None
    if card.algorithms != suite.chosen().name:
        raise BadCard(where="algorithms", because=_WRONG["algorithms"])
    if because := wrong_with(card.address):
        raise BadCard(where="address", because=because)
    if _groups(card.fingerprint) != _groups(asked.fingerprint):
        raise FingerprintDiffers(shown=card.fingerprint)
    return card


def _groups(fingerprint: str) -> str:
    # It was heard, and typed: capitals, blanks and other dashes are the same fingerprint.
    return re.sub(r"[^0-9a-z]", "", fingerprint.lower())
