"""查阅的一行: what is put down of one read, and the digest that chains it to the one before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain import suite

NO_ROOT = bytes(32)
"""The digest before the first row."""

COLUMNS = (
    *("number", "at", "account", "role", "purpose", "act", "what", "count", "whose", "subjects"),
    *("fields", "request", "outcome", "root"),
)


class Read(NamedTuple):
    """One read as it is put down: whose data and which fields, by name, and no value of any."""

    at: datetime
    account: str
    role: str
    purpose: str
    act: str
    what: str
    subjects: tuple[UUID, ...]
    fields: tuple[str, ...]
    request: UUID
    outcome: str


def packed(subjects: Iterable[UUID]) -> bytes:
    """A list of persons as it is kept: 16 bytes each, in one possible order."""
    return b"".join(sorted(each.bytes for each in subjects))


def persons(subjects: bytes) -> list[UUID]:
    """The persons of a list as it is kept."""
    return [UUID(bytes=subjects[i : i + 16]) for i in range(0, len(subjects), 16)]


def whose(subjects: bytes) -> bytes:
    """The digest of a list of persons."""
    return suite.digest(subjects)


def chained(root: bytes, said: Sequence[Any]) -> bytes:
    """The digest of a row over the one before: all columns but the list of persons and itself.

    The list is there by its number and digest: it may be cut away, and the chain holds.
    """
    number, at, *texts, count, of, fields, request, outcome = said
    known = [number, at.astimezone(UTC).isoformat(timespec="microseconds"), *texts, count]
    known += [of.hex(), fields, str(request), outcome]
    text = json.dumps(known, ensure_ascii=False, separators=(",", ":"))
    return suite.digest(b"waystation/access/v1\n" + root + text.encode())


def chain(
    reads: Sequence[Read], number: int, root: bytes
) -> tuple[list[tuple[Any, ...]], tuple[int, bytes]]:
    """Rows for these reads, after the one of that number and digest; and the last one's."""
    rows = []
    for read in reads:
        number += 1
        subjects, after = packed(read.subjects), (read.request, read.outcome)
        before = (number, *read[:6], len(read.subjects), whose(subjects))
        root = chained(root, (*before, list(read.fields), *after))
        # Names of fields are ours: put together here, for the driver takes ten times as long.
        fields = "{" + ",".join(read.fields) + "}"
        rows.append((*before, subjects, fields, *after, root))
    return rows, (number, root)
