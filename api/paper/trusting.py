"""验签: whose key has signed a scanned text, and whether it is still believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from api.enrolment import BadCard
from domain.aggregate import CIVIL_ZONE
from domain.decisions.home import us
from domain.errors import Refusal
from domain.ledger import Ledger
from domain.organization import FormerKey
from domain.signet import Signet
from domain.values import OrgCode
from sync.card import Card, read_card
from sync.errors import LaneFault
from sync.paper import Paper, PaperAltered, Written
from sync.trust import FORMER_MAX


class PaperFromStranger(Refusal):
    """开出组织尚未登记，签名无法核对。Its issuer is not enrolled, so it cannot be checked."""

    mend = (
        "请向对方索取名片并电话核对，随文字提交（scan --card）即可验签；常来往的请登记对方。"
        "Ask them for their card, compare it by telephone, and hand it in with the text "
        "(scan --card); enrol them if you often meet."
    )


class PaperKeyOver(Refusal):
    """签名所用的密钥已更换或吊销。It is signed by a key that was given up before."""

    mend = (
        "不要办理；请开出组织用现在的密钥重新打印，并电话核实。"
        "Do nothing by it; let the issuer print it again with the key in use, and call them."
    )


class Checked(NamedTuple):
    """A text whose signature fits: who issued it, what it says, by which word we believe that."""

    sender: OrgCode
    name: str
    paper: Paper
    fingerprint: str | None
    enrolled: bool


def checked(written: Written, ledger: Ledger, card: str | None) -> Checked:
    """What the text says, if whoever it names has signed it.

    A card serves where the issuer is not enrolled, and there alone: an enrolled peer's key is not
    overruled by a file that came with a letter.

    Raises:
        PaperAltered, PaperFromStranger, PaperKeyOver, BadCard.
    """
    ours = us(ledger)
    if written.sender == ours.code:
        return Checked(ours.code, ours.name, _own(written, ledger), None, enrolled=True)
    if peer := ours.peers.get(written.sender):
        former = ours.former.get(peer.code, ())[-FORMER_MAX:]
        paper = _peers(written, peer.verify_key, former)
        return Checked(peer.code, peer.name, paper, peer.fingerprint, enrolled=True)
    if card is None:
        raise PaperFromStranger(sender=written.sender, enrolled=sorted(ours.peers))
    shown = _card(card)
    if shown.sender != written.sender:
        raise BadCard(where="sender", because=f"{shown.sender} ≠ {written.sender}")
    paper = written.open(shown.verify_key)
    return Checked(shown.sender, shown.name, paper, shown.fingerprint, enrolled=False)


def _peers(written: Written, verify_key: str, former: tuple[FormerKey, ...]) -> Paper:
    for key in reversed(former):
        if written.is_by(key.verify_key):
            paper = written.open(key.verify_key)
            # What was sent before the change stays good; a stolen key could name any day.
            if key.revoked or paper.sent_on > key.since.astimezone(CIVIL_ZONE).date():
                raise PaperKeyOver(sender=written.sender, key=key.fingerprint, since=key.since)
            return paper
    return written.open(verify_key)


def _own(written: Written, ledger: Ledger) -> Paper:
    for key, believed in _own_keys(ledger):
        if written.is_by(key):
            if not believed:
                raise PaperKeyOver(sender=written.sender)
            return written.open(key)
    raise PaperAltered(sender=written.sender)


def _own_keys(ledger: Ledger) -> Iterator[tuple[str, bool]]:
    """Every key this organization has had, and whether it is believed."""
    given_up = False
    for fact in reversed(ledger.facts(Signet.id_of(ledger.org))):
        match fact:
            case Signet.Rotated():
                yield fact.succession.verify_key, not given_up
            case Signet.Revoked() | Signet.Replaced():
                yield fact.succession.verify_key, not given_up
                given_up = True
            case Signet.Opened():
                yield fact.verify_key, not given_up


def _card(text: str) -> Card:
    try:
        return read_card(text.strip().encode())
    except LaneFault as fault:
        raise BadCard(where=str(fault.facts.get("where", "signature"))) from None
