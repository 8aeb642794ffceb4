"""扫描: what a checked letter or slip means here, and what its officer records by it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api.paper.trusting import Checked
from domain.admission import Admission, DispatchAnswered
from domain.commands import AdmitByLetter, RecordSlip, RegisterByLetter, RegisterMember
from domain.decisions.home import us
from domain.errors import Invalid, Refusal
from domain.ledger import Ledger
from domain.passage import State
from domain.transfer import Transfer
from domain.values import Source
from sync.paper import Paper


class LetterExpired(Refusal):
    """介绍信已超过有效期。The letter has expired."""

    mend = (
        "不能凭此接收；请党员持支部证明回原组织申请重新开具。"
        "Do not admit by it: let the member ask the issuer to reissue it, on his branch's word."
    )


class LetterVoid(Refusal):
    """该编号的介绍信已作废。The letter of that number is void."""

    mend = (
        "有 replaced_by 的，请改用该编号的介绍信；没有的，请电话联系开出组织。"
        "Use the letter under replaced_by; if there is none, call the issuer."
    )


class LetterForAnother(Refusal):
    """这封介绍信是开给其他组织的。The letter is addressed to another organization."""

    kind = "forbidden"
    mend = "请党员到信上所写的组织办理。Let the member go to the organization it names."


class LetterIsOurs(Refusal):
    """这是本组织开出的介绍信，不是回执。It is a letter of our own, not a slip."""

    mend = "登记回执请扫描回执联上的二维码。To record a slip, scan the code on the slip part."


class SlipForAnother(Refusal):
    """这张回执应寄回开出组织。The slip belongs to the organization that issued it."""

    kind = "forbidden"
    mend = "请盖章填写后寄回 sender。Fill it in, stamp it, and return it to the one under sender."


class SlipUsed(Refusal):
    """该转接已经办结，回执早已登记，无需再办。The transfer is complete: there is nothing to do."""

    mend = "如登记内容有误，请查看该转接。If what was recorded is wrong, look at the transfer."


class NotThisPart(Invalid):
    """扫描的是另一联。The other part was scanned."""

    mend = (
        "接收请扫描介绍信联，登记回执请扫描回执联。"
        "To admit, scan the letter; to record a slip, scan the slip."
    )


class AnotherPerson(Refusal):
    """公民身份号码与介绍信不符。The id number is not that of whom the letter is about."""

    mend = (
        "请对照本人身份证重新填写；仍不符的不要接收，请联系开出组织。"
        "Copy it from the person's card; if it stays, do not admit, and call the issuer."
    )


class LetterByName(Refusal):
    """介绍信只写了组织名称，没有代码。It names its receiver without a code."""

    mend = (
        "网上的接收无法送达；请按信面登记党员（/paper/registered），并把回执联盖章填写后寄回。"
        "No admission would reach the issuer: register the member from the letter's face "
        "(/paper/registered), and return the slip, filled in and stamped."
    )


class LetterByCode(Refusal):
    """介绍信写明了本组织的代码。It names this organization by its code."""

    mend = (
        "请凭介绍信接收（/paper/admitted），不要另行建档。"
        "Admit by it (/paper/admitted); do not open a file beside it."
    )


def judged(seen: Checked, ledger: Ledger, now: datetime) -> Transfer | None:
    """Refuse what must not be acted on; the transfer, if its facts are here.

    Raises:
        LetterIsOurs, LetterForAnother, LetterExpired, LetterVoid, DispatchAnswered,
        SlipForAnother, SlipUsed.
    """
    paper = seen.paper
    transfer = ledger.find(Transfer, paper.transfer)
    if paper.kind == "slip":
        if seen.sender != ledger.org:
            raise SlipForAnother(sender=seen.sender, name=seen.name, letter=paper.letter)
        if transfer is not None and transfer.state is State.COMPLETED:
            raise SlipUsed(transfer=transfer.id, admitted_on=transfer.admitted_on)
    elif seen.sender == ledger.org:
        raise LetterIsOurs(transfer=paper.transfer, letter=paper.letter)
    else:
        _must_wait_for_us(paper, ledger)
    if transfer is not None:
        _must_stand(paper, transfer)
    if paper.kind == "letter" and now >= paper.until:
        raise LetterExpired(letter=paper.letter, until=paper.until.isoformat())
    return transfer


def _must_wait_for_us(paper: Paper, ledger: Ledger) -> None:
    if paper.to not in {None, ledger.org}:
        raise LetterForAnother(to=paper.to, letter=paper.letter)
    known = ledger.find(Admission, Admission.id_of(paper.transfer, ledger.org))
    if known is not None and paper.dispatch in known.answered:
        raise DispatchAnswered(admission=known.id, dispatch=paper.dispatch)


def _must_stand(paper: Paper, transfer: Transfer) -> None:
    """What has replaced it, or ended it, as far as it is known here."""
    standing = {State.SENT, State.ADMITTED, State.EXPIRED}
    last = transfer.dispatches[-1] if transfer.dispatches else None
    anew = last is not None and last.number != paper.dispatch
    if anew or transfer.state not in standing:
        replaced_by = last.letter if anew and last is not None else None
        evidence = {"state": transfer.state, "replaced_by": replaced_by}
        raise LetterVoid(letter=paper.letter, transfer=transfer.id, **evidence)


def told(seen: Checked, transfer: Transfer | None, ledger: Ledger) -> dict[str, Any]:
    """What was scanned, and what may be done by it, as an officer reads it."""
    paper = seen.paper
    return {
        **paper.model_dump(exclude={"person", "subject"}),
        "sender": seen.sender,
        "sender_name": seen.name,
        "enrolled": seen.enrolled,
        "fingerprint": seen.fingerprint,
        "state": transfer.state if transfer else None,
        "next": _next(seen, us(ledger).name),
    }


def _next(seen: Checked, our_name: str) -> str:
    paper = seen.paper
    if paper.kind == "slip":
        return "对照回执登记 record it: POST /paper/slip"
    if not seen.enrolled:
        return (
            "请电话核对 fingerprint，再登记对方（enrol）；只写名称的，可按信面登记党员。"
            "Compare the fingerprint by telephone; then enrol them, or by a letter that names no "
            "code register the member: POST /paper/registered"
        )
    if paper.to is None:
        unlike = "" if paper.to_name == our_name else f"抬头是“{paper.to_name}”，请核对。"
        return f"{unlike}{LetterByName.mend}"
    return "核对身份证后接收 see the id card, then: POST /paper/admitted"


def admission_by(seen: Checked, **stated: Any) -> AdmitByLetter:
    """The command that a letter is admitted by; `stated` is what the officer adds to it.

    Raises:
        NotThisPart, LetterByName, AnotherPerson.
    """
    paper = seen.paper
    if paper.kind != "letter":
        raise NotThisPart(scanned=paper.kind)
    if paper.to is None or paper.subject is None:
        raise LetterByName(to_name=paper.to_name, letter=paper.letter)
    if not paper.is_about(stated["number"]):
        raise AnotherPerson(letter=paper.letter)
    return AdmitByLetter(
        transfer=paper.transfer,
        dispatch=paper.dispatch,
        origin=seen.sender,
        person=paper.subject,
        sent_on=paper.sent_on,
        until=paper.until,
        **stated,
    )


def registration_by(seen: Checked, *, member: dict[str, Any]) -> RegisterMember:
    """The command that a file is opened by, of whom a letter by name has brought.

    The person keeps the id he has in the ledgers if its issuer is enrolled: so the histories join
    when a lane comes. An issuer that is known by a card alone has no say in who is who here.

    Raises:
        NotThisPart, LetterByCode, AnotherPerson.
    """
    paper = seen.paper
    if paper.kind != "letter":
        raise NotThisPart(scanned=paper.kind)
    if paper.to is not None:
        raise LetterByCode(to=paper.to, letter=paper.letter)
    if not paper.is_about(member["number"]):
        raise AnotherPerson(letter=paper.letter)
    if seen.enrolled and paper.subject is not None:
        return RegisterByLetter(person=paper.subject, **member)
    return RegisterMember(**member)


def slip_by(seen: Checked, **stated: Any) -> RecordSlip:
    """The command that a returned slip is recorded by.

    Raises:
        NotThisPart.
    """
    if seen.paper.kind != "slip":
        raise NotThisPart(scanned=seen.paper.kind)
    return RecordSlip(transfer=seen.paper.transfer, **stated)


def source_of(paper: Paper) -> Source:
    """Where a fact recorded by it says that it came from."""
    part = "介绍信" if paper.kind == "letter" else "回执"
    return Source(kind="paper", reference=f"{part} {paper.letter} #{paper.dispatch}")
