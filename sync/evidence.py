"""证据: what is kept of a message that was refused, in a form that a table can always hold."""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.ledger import Beside
from domain.values import OrgCode
from sync.errors import Forged, LaneFault, Malformed, NotEnrolled, TooLarge

UNKNOWN_SENDER: OrgCode = "?"
"""In the place of a sender nobody has enrolled."""

UNSIGNED_BYTES = 4 * 1024
"""Kept of a message whose signature proves nothing about anybody."""


class About(NamedTuple):
    """Whom an entry concerns, as far as it can be told: the member, the absence."""

    subject: UUID | None
    outflow: UUID | None


NOBODY = About(None, None)

_UNSIGNED = (Forged, Malformed, NotEnrolled, TooLarge)


def refused(peer: OrgCode, at: datetime, fault: LaneFault, wire: bytes) -> Beside:
    """The row for a message refused as a whole."""
    kept = wire[:UNSIGNED_BYTES] if isinstance(fault, _UNSIGNED) else wire
    return _row(peer, at, fault, None, None, kept, NOBODY)


def parked(  # noqa: PLR0913, PLR0917 - one row.
    peer: OrgCode,
    at: datetime,
    fault: LaneFault,
    number: int,
    record: StoredEvent,
    wire: bytes,
    about: About,
) -> Beside:
    """The row for one entry that is set aside."""
    return _row(peer, at, fault, number, record, wire, about)


def plain(text: str) -> str:
    """Text that PostgreSQL can hold: no NUL, no lone surrogate."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _row(  # noqa: PLR0913, PLR0917 - one row.
    peer: OrgCode,
    at: datetime,
    fault: LaneFault,
    number: int | None,
    record: StoredEvent | None,
    wire: bytes,
    about: About,
) -> Beside:
    facts = {name: plain(str(value)) for name, value in fault.facts.items()}
    address: tuple[object, ...] = (None, None, None, None)
    if record is not None:
        address = (record.originator_id, record.originator_version, record.topic, record.state)
    values = (peer, at, fault.code(), json.dumps(facts), number, *address, wire, *about)
    return Beside("quarantine", values)
