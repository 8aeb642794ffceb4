"""记录: one record as it stands in a ledger, and what every record must say of itself."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from sync.verifier.defect import fail, read_json


class Record(NamedTuple):
    """A fact's place, name and bytes; what the bytes say."""

    place: int
    """Its index in the ledger."""
    stream: UUID
    version: int
    topic: str
    state: bytes
    said: dict[str, Any]

    @property
    def where(self) -> str:
        """What it is called in front of a person."""
        return f"第 {self.place + 1} 条 {self.topic} {self.stream}/{self.version}"

    @property
    def meta(self) -> dict[str, Any]:
        """Who, when, from where."""
        meta: dict[str, Any] = self.said["meta"]
        return meta

    @property
    def keeper(self) -> str:
        """Whose stream it is."""
        keeper: str = self.meta["keeper"]
        return keeper

    @property
    def audience(self) -> list[Any]:
        """Which organizations hear of it."""
        heard: list[Any] = self.meta.get("audience", [])
        return heard


def leaf(stream: UUID, version: int, topic: str, state: bytes) -> bytes:
    """The bytes that are hashed."""
    name = topic.encode()
    return stream.bytes + version.to_bytes(8) + len(name).to_bytes(2) + name + state


def unleaf(index: int, data: bytes) -> Record:
    """A record from those bytes.

    Raises:
        Defect.
    """
    where, end = f"第 {index + 1} 条", 26 + int.from_bytes(data[24:26])
    if len(data) <= end:
        fail(where, "a leaf is cut")
    try:
        topic = data[26:end].decode()
    except UnicodeDecodeError:
        fail(where, "the topic is not UTF-8")
    version = int.from_bytes(data[16:24])
    return record(index, UUID(bytes=data[:16]), version, topic, data[end:])


def record(index: int, stream: UUID, version: int, topic: str, state: bytes) -> Record:
    """A record that says whose it is, and is written by nobody else.

    Raises:
        Defect.
    """
    made = Record(index, stream, version, topic, state, read_json(state, f"第 {index + 1} 条"))
    meta = made.said.get("meta")
    author = meta.get("author") if isinstance(meta, dict) else None
    if (
        not isinstance(meta, dict)
        or not isinstance(author, dict)
        or not isinstance(meta.get("keeper"), str)
        or not isinstance(meta.get("audience", []), list)
    ):
        fail(made.where, "it does not say whose it is, who wrote it and who hears of it")
    if author.get("org") != meta["keeper"]:
        fail(made.where, "the author is not of the keeper's organization", keeper=meta["keeper"])
    return made


class Streams:
    """Sees to it that no stream has a gap or two keepers; one number and name a stream."""

    def __init__(self) -> None:
        self.seen: dict[UUID, tuple[int, str]] = {}

    def take(self, made: Record) -> None:
        """The next record, in the ledger's order.

        Raises:
            Defect.
        """
        version, keeper = self.seen.get(made.stream, (0, made.keeper))
        if made.version != version + 1:
            fail(made.where, f"versions have a gap: after {version} comes {made.version}")
        if made.keeper != keeper:
            fail(made.where, f"the stream is kept by {keeper}")
        self.seen[made.stream] = made.version, keeper
