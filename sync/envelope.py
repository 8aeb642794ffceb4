"""信封: the signed messages that pass between organizations, and how they are read."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, ClassVar, TypeVar
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
from domain.values import DataClass, OrgCode
from sync import strict
from sync.errors import Forged, Malformed, TooLarge
from sync.keys import NodeKeys, b64, verify
from sync.ledger_said import LogHeard, LogSaid

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

REFUSED_MAX = 32
"""Stopped streams that one receipt names; it says how many there are in all."""

REASON_MAX = 300
"""Characters in which a receipt says why something was refused."""

_YEARS = range(2000, 9000)
"""In which a moment may lie; beyond it, databases and calendars disagree."""

HEADER_MAX = 300

SIGNATURE_SIZE = 64
SIGNATURES_MAX = 2
"""Of one message: by the key in use, and by the one before while a peer may know only that."""


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
        """One line of kind, sender and signatures, then the JSON that is signed."""
        return sign(self.KIND, self.sender, self.__pydantic_serializer__.to_json(self), keys)


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
    log: LogSaid | None = None

    @property
    def last(self) -> int:
        """The number of the last entry; first - 1 for a heartbeat."""
        return self.first + len(self.entries) - 1


class Refused(BaseModel):
    """不收: the entry that stopped its stream at the receiver, why, and how many wait behind it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: Annotated[Number, Field(ge=1)]
    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,59}$")]
    said: Annotated[str, StringConstraints(max_length=REASON_MAX)]
    behind: Number = 0


class LaneReceipt(Message):
    """回单: the receiver has recorded the lane up to `number`, whose root is `root`.

    `refused` says why a whole batch was not taken; `parked` names the entries that stopped their
    streams, the lowest numbers first, and `stopped` how many there are in all. Each receipt repeats
    them until they are resolved; a sender of receipts without `stopped` says nothing about them.
    """

    KIND: ClassVar[str] = "receipt"

    receiver: OrgCode
    number: Number
    root: Root
    at: Moment
    refused: Annotated[str, StringConstraints(max_length=REASON_MAX)] | None = None
    parked: Annotated[tuple[Refused, ...], Field(max_length=REFUSED_MAX)] = ()
    stopped: Number | None = None
    log: LogHeard | None = None

    @property
    def told_up_to(self) -> int:
        """The number up to which `parked` names every stopped stream; 0 where it says nothing."""
        if self.stopped is None:
            return 0
        if self.stopped > len(self.parked) and self.parked:
            return self.parked[-1].number
        return NUMBER_MAX


class Want(Message):
    """补发请求: send again what follows `after`."""

    KIND: ClassVar[str] = "want"

    receiver: OrgCode
    after: Number
    at: Moment


M = TypeVar("M", bound=Message)


def sign(kind: str, sender: OrgCode, body: bytes, keys: NodeKeys) -> bytes:
    """A body as it travels, whatever it holds: what is wrong with it is found by who reads it."""
    signatures = " ".join(map(b64, keys.signatures(_signed_bytes(kind, body))))
    return f"waystation/{kind}/v1 {sender} {signatures}\n".encode() + body


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
            name, self.sender, *signatures = header.decode("ascii").split(" ")
            _, self.kind, version = name.split("/")
            self.signatures = [base64.b64decode(each, validate=True) for each in signatures]
        except (ValueError, binascii.Error, UnicodeDecodeError):
            raise Malformed(where="header") from None
        sizes = {len(each) for each in self.signatures}
        if sizes != {SIGNATURE_SIZE} or len(self.signatures) > SIGNATURES_MAX:
            raise Malformed(where="header", signatures=len(self.signatures))
        if version != "v1":
            raise Malformed(where="version", version=version[:10])

    def open(self, kind: type[M], verify_key: str) -> M:
        """The message, if a signature is that key's and the body names the same sender.

        Raises:
            Forged, Malformed.
        """
        if not self.is_by(verify_key):
            raise Forged(sender=self.sender)
        return self.claims(kind)

    def is_by(self, verify_key: str) -> bool:
        """Whether that key has signed it."""
        signed = _signed_bytes(self.kind, self.body)
        return any(verify(verify_key, signed, each) for each in self.signatures)

    def claims(self, kind: type[M]) -> M:
        """What it says, whoever has signed it.

        Raises:
            Malformed.
        """
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
