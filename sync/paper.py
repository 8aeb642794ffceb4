"""纸面: the signed text in the QR code of a letter or of its slip, for whoever has no lane."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from datetime import date
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from domain.errors import Invalid
from domain.values import DispatchNumber, IdNumber, OrgCode, Short, Text
from sync import strict
from sync.envelope import SIGNATURE_SIZE, Moment
from sync.errors import Malformed
from sync.keys import NodeKeys, verify

FORM = 1
"""The version of the form; a reader refuses a newer one."""

PAPER_MAX = 970
"""Characters of a text: what a QR code of version 20 holds at level M in alphanumeric mode."""

SCANNED_MAX = 4_000
"""Characters that are looked at, so that a newer and longer form is told from what is none."""

LETTER_BYTES = 96
"""Of a letter's number inside the text; the number on the face may be longer."""

RECEIVER_BYTES = 120
"""Of the name of a receiver without a code; the name on the face may be longer."""

SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}
"""About 50 ms a guess: the digest of an id number must not give the number away."""

_HEAD = "WAYSTATION"
_FIELDS = 4
_CODE = re.compile(r"[a-z][a-z0-9-]{1,39}")

Kind = Literal["letter", "slip"]


class NotAPaper(Invalid):
    """这不是介绍信或回执的二维码。It is not the QR code of a letter or of a slip."""

    mend = (
        "请切换到英文输入法，对准介绍信或回执联上的二维码重新扫描。"
        "Switch the keyboard to English, and scan the code on the letter or on the slip again."
    )


class PaperCut(Invalid):
    """二维码内容不完整。The text of the code is not whole."""

    mend = (
        "请重新扫描，或把整段文字复制过来；纸张破损的，凭信面电话联系开出组织。"
        "Scan it again, or copy all of it; if the paper is damaged, call whoever issued it."
    )


class PaperNewer(Invalid):
    """二维码的格式比本节点新。The code is in a newer form than this node reads."""

    mend = (
        "请升级本节点；急办的，按信面内容人工核实。"
        "Upgrade this node; if it is urgent, verify the letter by telephone."
    )


class PaperAltered(Invalid):
    """二维码与开出组织的签名不符。The code does not fit the signature of whom it names."""

    mend = (
        "请重新扫描；仍不符的，可能被改动或由他人冒开，不要办理，请电话向开出组织核实。"
        "Scan it again; if it stays, it was altered or forged: do nothing, and call the issuer."
    )


class Paper(BaseModel):
    """What a code says; a field from a newer node of the same form is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Kind
    transfer: UUID
    dispatch: DispatchNumber
    letter: Short
    sent_on: date
    until: Moment
    to: OrgCode | None = None
    to_name: Text | None = None
    subject: UUID | None = None
    person: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22}$")] | None = None
    """Of a letter: whom it is about, as `person_check` of the id number."""

    def is_about(self, number: IdNumber) -> bool:
        """Whether that is the id number of whom the letter is about."""
        return self.person == person_check(number, self.transfer, self.dispatch)

    def signed(self, sender: OrgCode, keys: NodeKeys) -> str:
        """The text, by the key in use."""
        said = self.model_dump(mode="json", exclude_none=True)
        body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        code = _encode(keys.sign(_signed_bytes(sender, body)) + body)
        text = f"{_HEAD}.{FORM}.{sender.upper()}.{code}"
        assert len(text) <= PAPER_MAX  # The longest of every field fits: a test says so.
        return text


class Written(NamedTuple):
    """A text as it was scanned: what it claims is read only after its signature is checked."""

    sender: OrgCode
    signature: bytes
    body: bytes

    def is_by(self, verify_key: str) -> bool:
        """Whether that key has signed it."""
        return verify(verify_key, _signed_bytes(self.sender, self.body), self.signature)

    def open(self, verify_key: str) -> Paper:
        """What it says, if that key has signed it.

        Raises:
            PaperAltered.
        """
        if not self.is_by(verify_key):
            raise PaperAltered(sender=self.sender)
        try:
            return Paper.model_validate(strict.read(self.body, "body"))
        except (Malformed, ValidationError):
            # Signed, and yet nonsense: no node of ours has printed that.
            raise PaperAltered(sender=self.sender, problem="form") from None


def read(text: str) -> Written:
    """Take a scanned text apart; blanks, line breaks and small letters do not matter.

    Raises:
        NotAPaper, PaperCut, PaperNewer, PaperAltered.
    """
    if len(text) > SCANNED_MAX or not text.isascii():
        raise NotAPaper(characters=len(text))
    text = "".join(text.split()).upper()
    head, *rest = text.split(".")
    if head != _HEAD or not rest:
        raise NotAPaper(characters=len(text))
    form = rest[0]
    if form.isdigit() and len(rest) > 1 and int(form) > FORM:
        raise PaperNewer(form=int(form), reads=FORM)
    if len(rest) < _FIELDS - 1:
        raise PaperCut(characters=len(text))
    if form != str(FORM) or len(rest) > _FIELDS - 1 or len(text) > PAPER_MAX:
        raise NotAPaper(characters=len(text))
    sender = rest[1].lower()
    if not _CODE.fullmatch(sender):
        raise NotAPaper(characters=len(text))
    raw = _decode(rest[2], sender)
    if len(raw) <= SIGNATURE_SIZE or not raw.endswith(b"}"):
        raise PaperCut(characters=len(text))
    return Written(sender, raw[:SIGNATURE_SIZE], raw[SIGNATURE_SIZE:])


def person_check(number: IdNumber, transfer: UUID, dispatch: int) -> str:
    """A slow digest: whoever has the id number sees that it fits, and nobody reads it there."""
    salt = transfer.bytes + dispatch.to_bytes(4)
    return base64.urlsafe_b64encode(_scrypt(number, salt)).rstrip(b"=").decode()


def fitting(text: str, size: int) -> str:
    """As much of a text as takes no more bytes in JSON; what is cut off shows as …."""
    if _weight(text) <= size:
        return text
    while _weight(text + "…") > size:
        text = text[:-1]
    return text + "…"


def _weight(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


def _scrypt(number: str, salt: bytes) -> bytes:
    return hashlib.scrypt(number.encode(), salt=salt, **SCRYPT)


def _signed_bytes(sender: OrgCode, body: bytes) -> bytes:
    return f"waystation/paper/v{FORM}\n{sender}\n".encode() + body


def _encode(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode()


def _decode(code: str, sender: OrgCode) -> bytes:
    try:
        raw = base64.b32decode(code + "=" * (-len(code) % 8))
    except binascii.Error:
        cut = re.fullmatch(r"[A-Z2-7]*", code) is not None
        raise PaperCut(characters=len(code)) if cut else PaperAltered(sender=sender) from None
    if _encode(raw) != code:
        # Bits beyond the last byte: a character was misread, or the text is cut off.
        raise PaperAltered(sender=sender)
    return raw
