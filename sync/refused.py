"""拒收缘由: why a signed request is refused, in words that its sender can act on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from sync.errors import ClocksDiffer, Forged

REFUSAL_BYTES = 4_096
"""Read of what a peer says when it refuses a request."""

REASON_MAX = 400
"""Characters of it that are shown."""


_MOMENT = re.compile(r"[0-9]{1,11}")
"""Seconds up to the year 5138; a calendar ends at 9999."""


def reason(because: str, signed: str, now: datetime, window: timedelta) -> Forged:
    """The fault of a request whose signature is not accepted.

    `signed` is its Signature-Input, of which only the time is believed: what is wrong with it is
    nothing that a stranger could gain by.
    """
    for part in signed.split(";"):
        name, _, value = part.partition("=")
        if name == "created" and _MOMENT.fullmatch(value):
            theirs = datetime.fromtimestamp(int(value), UTC)
            if abs(theirs - now) > window:
                return ClocksDiffer(ours=now.isoformat(), theirs=theirs.isoformat())
    return Forged(because=because[:200])


def in_words(status: int, body: bytes) -> str:
    """What a peer has refused a request with."""
    try:
        said = json.loads(body)
        told = f"{said['title']} {said.get('mend', '')}".strip()
        clocks = ", ".join(f"{name}={said[name]}" for name in ("ours", "theirs") if name in said)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"HTTP {status}"
    return f"{told} [HTTP {status}{', ' + clocks if clocks else ''}]"[:REASON_MAX]
