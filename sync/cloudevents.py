"""CloudEvents: what a message on a broker says of itself to strangers; no node believes it."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from domain.values import OrgCode
from sync.carrier import Parcel
from sync.envelope import Batch

MEDIA_TYPE = "application/vnd.waystation.message"

SEQUENCE_DIGITS = 16
"""Of a lane's number, so that sequences compare as text: as many as its largest has."""


def source(org: OrgCode) -> str:
    """How an organization is named as the source of events."""
    return f"urn:waystation:{org}"


def event_type(kind: str) -> str:
    """How a message of ours is named as an event."""
    return f"waystation.{kind}.v1"


def attributes(parcel: Parcel, sender: OrgCode, at: datetime) -> dict[str, str]:
    """The attributes of CloudEvents 1.0; equal ids are equal bytes."""
    said = {
        "specversion": "1.0",
        "id": hashlib.sha256(parcel.wire).hexdigest(),
        "source": source(sender),
        "type": event_type(parcel.kind),
        "subject": parcel.receiver,
        "time": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if parcel.kind == Batch.KIND:
        said["sequence"] = f"{parcel.last:0{SEQUENCE_DIGITS}}"
    return said


def traceparent() -> str:
    """A W3C trace context that begins here; not sampled, for we record no spans."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def headers(parcel: Parcel, sender: OrgCode, at: datetime) -> list[tuple[str, bytes]]:
    """The Kafka binding in binary mode: attributes beside a value that stays as it was signed.

    The trace is said twice: for a tracer of Kafka clients, and for a reader of CloudEvents.
    """
    trace = traceparent()
    said = {
        **{f"ce_{name}": value for name, value in attributes(parcel, sender, at).items()},
        "ce_traceparent": trace,
        "traceparent": trace,
        "content-type": MEDIA_TYPE,
    }
    return [(name, value.encode()) for name, value in said.items()]
