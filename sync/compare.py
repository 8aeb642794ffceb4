"""对账信: the signed questions and answers by which two nodes compare what both should know."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from domain import suite
from domain.agreement import CertificateText
from domain.values import DataClass, Digest, OrgCode, Short
from sync.certificate import MODELS_MAX, Model
from sync.envelope import Message, Moment, Number, Root
from sync.ranges import Part, Prefix, Told

FACTS = "facts"
"""The name under which the facts themselves are compared, a row a stream."""

RANGES_MAX = 150
"""Ranges told in one message: 150 of the largest fill it."""

ROWS_MAX = 20
"""Rows told in one message."""

FIELDS_MAX = 64
VERSIONS_MAX = 100
"""Facts told of one stream, the newest."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]
Version = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]


def salt_of(first: str, second: str) -> bytes:
    """The key of one session's hashes: both have drawn a part, so neither can choose it."""
    return suite.digest(b"waystation/compare/v1\n" + bytes.fromhex(first + second))


# What is asked.


class Ask(Message):
    """A question of one session."""

    receiver: OrgCode
    session: UUID
    at: Moment


class Open(Ask):
    """对账: take a snapshot; here is our part of the salt, and what you may open of ours."""

    KIND: ClassVar[str] = "compare_open"

    nonce: Root
    grants: Annotated[tuple[DataClass, ...], Field(max_length=len(DataClass))]


class RangeName(Part):
    """A range of one table."""

    model: Name
    prefix: Prefix


class AskRanges(Ask):
    """Tell these ranges in more detail."""

    KIND: ClassVar[str] = "compare_ranges"

    ranges: Annotated[tuple[RangeName, ...], Field(max_length=RANGES_MAX)]


class RowName(Part):
    """A row of one table."""

    model: Name
    key: UUID


class AskRows(Ask):
    """Tell these rows field by field, and the facts behind them."""

    KIND: ClassVar[str] = "compare_rows"

    rows: Annotated[tuple[RowName, ...], Field(max_length=ROWS_MAX)]


class Propose(Ask):
    """Sign this certificate too; ours is under it."""

    KIND: ClassVar[str] = "compare_propose"

    certificate: CertificateText
    signature: Annotated[str, StringConstraints(max_length=100)]


# What is answered.


class Answer(Message):
    """An answer names the very bytes it answers."""

    receiver: OrgCode
    answering: Digest


class Cut(Part):
    """Where both lanes stand in a snapshot: told up to a number, and heard up to one."""

    told: Number
    told_root: Root
    heard: Number
    heard_root: Root


class Waiting(Part):
    """A read model that does not reflect all facts of this pair."""

    model: Name
    because: Literal["stopped", "behind"]


class Opened(Answer):
    """The snapshot, summed up."""

    KIND: ClassVar[str] = "compare_opened"

    nonce: Root
    grants: Annotated[tuple[DataClass, ...], Field(max_length=len(DataClass))]
    rules: Short
    cut: Cut
    models: Annotated[tuple[Model, ...], Field(max_length=MODELS_MAX)]
    waiting: Annotated[tuple[Waiting, ...], Field(max_length=MODELS_MAX)] = ()


class ToldRanges(Answer):
    """In the order in which they were asked for."""

    KIND: ClassVar[str] = "compare_told_ranges"

    ranges: Annotated[tuple[Told, ...], Field(max_length=RANGES_MAX)]


class FactTold(Part):
    """One fact of a stream."""

    version: Version
    digest: Digest
    topic: Annotated[str, StringConstraints(max_length=80)]


class Row(Part):
    """A row as one side has it; `fields` is None where it has none. Values are keyed hashes."""

    stream: UUID
    subject: UUID | None = None
    outflow: UUID | None = None
    fields: Annotated[dict[Name, Digest], Field(max_length=FIELDS_MAX)] | None = None
    moved: bool = False
    """It has changed since the snapshot: it says nothing about the cut."""
    edited: bool = False
    """It is not what its facts say."""
    facts: Annotated[tuple[FactTold, ...], Field(max_length=VERSIONS_MAX)] = ()
    parked: bool = False
    """Facts of its stream are quarantined here."""
    lacking: Annotated[tuple[DataClass, ...], Field(max_length=len(DataClass))] = ()
    """Classes of its sealed fields whose key is not held here."""


class ToldRows(Answer):
    """In the order in which they were asked for."""

    KIND: ClassVar[str] = "compare_told_rows"

    rows: Annotated[tuple[Row, ...], Field(max_length=ROWS_MAX)]


class Agreed(Answer):
    """The other signature."""

    KIND: ClassVar[str] = "compare_agreed"

    signature: Annotated[str, StringConstraints(max_length=100)]
