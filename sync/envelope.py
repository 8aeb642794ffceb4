"""信封: the four signed messages that pass between organizations, and how they are read."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from domain.records import STATE_MAX
from domain.values import DataClass, OrgCode, Text
from sync import strict
from sync.errors import Forged, Malformed, TooLarge
from sync.keys import NodeKeys, b64, fingerprint, sealable, usable, verify

ENTRIES_MAX = 100
"""Entries of one batch: one database commit at the receiver, 5 to 11 times single messages."""

BATCH_BYTES = 256 * 1024
"""Bytes of one message; the sender stops before it, the receiver refuses beyond it."""

GRANTS_MAX = 600
"""Keys that travel with one batch: an entry names at most one for each class of data."""

GRANT_BYTES = 320
"""At most, of one grant as it travels."""

NUMBER_MAX = 2**53 - 1
"""Of a lane; a reader of JSON anywhere holds it exactly."""

_YEARS = range(2000, 9000)
"""In which a moment may lie; beyond it, databases and calendars disagree."""

HEADER_MAX = 300


def _within_reason(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError("The moment is out of range.")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX, strict=True)]

Root = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
NO_ROOT = "0" * 64
"""The root before the first entry."""

_HEAD = b"waystation/"


class Message(BaseModel):
    """A signed message; a field from a newer peer is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)
    KIND: ClassVar[str]

    sender: OrgCode

    def signed(self, keys: NodeKeys) -> bytes:
        """One line of kind, sender and signature, then the JSON that is signed."""
        body = self.__pydantic_serializer__.to_json(self)
        signature = keys.sign(_signed_bytes(self.KIND, body))
        return f"waystation/{self.KIND}/v1 {self.sender} {b64(signature)}\n".encode() + body


def _small(state: str) -> str:
    if len(state.encode()) > STATE_MAX:
        raise ValueError(f"The state is larger than {STATE_MAX} bytes.")
    return state


class LaneEntry(BaseModel):
    """One record as it stands in the sender's ledger; `state` is its bytes, as text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stream: UUID
    version: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
    topic: Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=80)]
    state: Annotated[str, StringConstraints(max_length=STATE_MAX), AfterValidator(_small)]

    @property
    def weight(self) -> int:
        """Bytes it takes inside a message; quotes and backslashes of the state count twice."""
        return len(self.__pydantic_serializer__.to_json(self)) + 1


class Grant(BaseModel):
    """A data key sealed to the receiver; travels beside the entries, never in the ledger."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: UUID
    subject: UUID
    data_class: DataClass
    wrapped: Annotated[str, StringConstraints(max_length=400)]


class Batch(Message):
    """批: entries first … first + len - 1 of the lane from sender to receiver."""

    KIND: ClassVar[str] = "batch"

    receiver: OrgCode
    first: Annotated[Number, Field(ge=1)]
    before: Root
    root: Root
    head: Number
    sent_at: Moment
    entries: Annotated[tuple[LaneEntry, ...], Field(max_length=ENTRIES_MAX)] = ()
    grants: Annotated[tuple[Grant, ...], Field(max_length=GRANTS_MAX)] = ()

    @property
    def last(self) -> int:
        """The number of the last entry; first - 1 for a heartbeat."""
        return self.first + len(self.entries) - 1


class LaneReceipt(Message):
    """回单: the receiver has recorded the lane up to `number`, whose root is `root`."""

    KIND: ClassVar[str] = "receipt"

    receiver: OrgCode
    number: Number
    root: Root
    at: Moment
    refused: Annotated[str, StringConstraints(max_length=300)] | None = None


class Want(Message):
    """补发请求: send again what follows `after`."""

    KIND: ClassVar[str] = "want"

    receiver: OrgCode
    after: Number
    at: Moment


class Card(Message):
    """名片: who a node is and how to reach and check it; signed by its own key."""

    KIND: ClassVar[str] = "card"

    name: Text
    address: Text
    verify_key: Annotated[str, StringConstraints(max_length=60)]
    sealing_key: Annotated[str, StringConstraints(max_length=60)]
    suite: Literal["Ed25519+X25519"] = "Ed25519+X25519"
    issued_at: Moment

    @property
    def fingerprint(self) -> str:
        """To be compared by telephone."""
        return fingerprint(self.verify_key, self.sealing_key)


M = TypeVar("M", bound=Message)


def _signed_bytes(kind: str, body: bytes) -> bytes:
    return f"waystation/{kind}/v1\n".encode() + body


class Sealed:
    """A message as it arrived: its claims are read only after its signature is checked."""

    def __init__(self, wire: bytes) -> None:
        """Split header from body.

        Raises:
            TooLarge, Malformed: before anything is parsed.
        """
        if len(wire) > BATCH_BYTES:
            raise TooLarge(bytes=len(wire), maximum=BATCH_BYTES)
        header, newline, _ = wire[:HEADER_MAX].partition(b"\n")
        if not newline or not header.startswith(_HEAD):
            raise Malformed(where="header")
        self.body = wire[len(header) + 1 :]
        try:
            name, self.sender, signature = header.decode("ascii").split(" ")
            _, self.kind, version = name.split("/")
            self.signature = base64.b64decode(signature, validate=True)
        except (ValueError, binascii.Error, UnicodeDecodeError):
            raise Malformed(where="header") from None
        if version != "v1":
            raise Malformed(where="version", version=version[:10])

    def open(self, kind: type[M], verify_key: str) -> M:
        """The message, if the signature is that key's and the body names the same sender.

        Raises:
            Forged, Malformed.
        """
        if not verify(verify_key, _signed_bytes(self.kind, self.body), self.signature):
            raise Forged(sender=self.sender)
        return self._parse(kind)

    def _parse(self, kind: type[M]) -> M:
        if self.kind != kind.KIND:
            raise Malformed(where="kind", kind=self.kind[:20])
        strict.read(self.body, "body", nul=True)
        try:
            message: M = kind.__pydantic_validator__.validate_json(self.body)
        except ValidationError as fault:
            where = ".".join(map(str, fault.errors(include_input=False)[0]["loc"]))
            raise Malformed(where=where or "body") from None
        if message.sender != self.sender:
            raise Malformed(where="sender")
        return message

    def card(self) -> Card:
        """A card vouches for itself: it proves possession of the key it shows.

        Raises:
            Forged, Malformed: also for a key with which nothing could be checked or sealed.
        """
        card = self._parse(Card)
        if not usable(card.verify_key):
            raise Malformed(where="verify_key")
        if not sealable(card.sealing_key):
            raise Malformed(where="sealing_key")
        return self.open(Card, card.verify_key)


def read_card(wire: bytes) -> Card:
    """A card from its bytes."""
    return Sealed(wire).card()


def make_card(keys: NodeKeys, code: OrgCode, name: str, address: str, now: datetime) -> bytes:
    """This node's card."""
    card = Card(
        sender=code,
        name=name,
        address=address,
        verify_key=keys.verify_key,
        sealing_key=keys.sealing_key,
        issued_at=now,
    )
    return card.signed(keys)
