"""打印: what stands on the three parts of a letter, with the codes that are signed for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import segno

from domain.aggregate import CIVIL_ZONE
from domain.decisions.admissions import file_of
from domain.decisions.home import us
from domain.ledger import Ledger
from domain.member import Member
from domain.passage import Dispatch, NoLetter, State
from domain.transfer import Transfer
from domain.values import born_on
from sync.keys import NodeKeys
from sync.paper import LETTER_BYTES, RECEIVER_BYTES, Kind, Paper, fitting, person_check

QR_VERSION_MAX = 20
"""97 by 97 modules: at 42 mm a module is 0.43 mm, which any office printer and camera can do."""

_SCALE, _QUIET = 6, 4


@dataclass(frozen=True)
class Letter:
    """One letter, ready for the page."""

    number: str
    from_name: str
    to_name: str
    person: dict[str, Any]
    category: str
    age: int
    sent_on: date
    days: int
    until: datetime
    dues_paid_to: date
    letter_text: str
    slip_text: str


def letter_of(ledger: Ledger, keys: NodeKeys, transfer_id: UUID, today: date) -> Letter:
    """The letter that is on its way.

    Raises:
        NotFound, NotOurs: there is no such transfer of ours.
        TransferNotThere: none is under way: not sent yet, expired, lost, over.
        NoLetter: it went online.
        FileUnreadable: the member's name or number does not open.
    """
    transfer = ledger.open(Transfer, transfer_id)
    transfer.must_be(State.SENT)
    last = transfer.last
    if last.channel != "letter" or last.letter is None:
        raise NoLetter(transfer=transfer.id, channel=last.channel)
    member = ledger.open(Member, transfer.member)
    person = file_of(ledger, member.id)
    ours = us(ledger)
    born = born_on(person["number"])
    letter, slip = papers(transfer, last, person["number"])
    return Letter(
        number=last.letter,
        from_name=ours.name,
        to_name=ours.peers[transfer.to].name if transfer.to else transfer.to_name or "",
        person=person,
        category=member.category,
        age=today.year - born.year - ((today.month, today.day) < (born.month, born.day)),
        sent_on=last.sent_on,
        days=(last.until.astimezone(CIVIL_ZONE).date() - last.sent_on).days,
        until=last.until,
        dues_paid_to=_dues(ledger, transfer.id),
        letter_text=letter.signed(ledger.org, keys),
        slip_text=slip.signed(ledger.org, keys),
    )


def papers(transfer: Transfer, last: Dispatch, number: str) -> tuple[Paper, Paper]:
    """What the two codes of one dispatch say; the slip's names nobody."""

    def paper(kind: Kind, **more: Any) -> Paper:
        return Paper(
            kind=kind,
            transfer=transfer.id,
            dispatch=last.number,
            letter=fitting(last.letter or "", LETTER_BYTES),
            sent_on=last.sent_on,
            until=last.until.replace(microsecond=0),
            **more,
        )

    to_name = None if transfer.to_name is None else fitting(transfer.to_name, RECEIVER_BYTES)
    letter = paper(
        "letter",
        to=transfer.to,
        to_name=to_name,
        subject=transfer.subject,
        person=person_check(number, transfer.id, last.number),
    )
    return letter, paper("slip")


def picture(text: str) -> str:
    """The QR code of a text, as a picture inside the page."""
    code = segno.make_qr(text, error="m", mode="alphanumeric", boost_error=False)
    assert isinstance(code.version, int)
    assert code.version <= QR_VERSION_MAX
    return code.png_data_uri(scale=_SCALE, border=_QUIET)


def _dues(ledger: Ledger, transfer: UUID) -> date:
    """Said when it was sent; a letter that is issued anew says the same."""
    return [f.dues_paid_to for f in ledger.facts(transfer) if isinstance(f, Transfer.Sent)][-1]
