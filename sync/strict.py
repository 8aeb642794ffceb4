"""严格: reads JSON in the one way that every reader reads it, or refuses it."""

from __future__ import annotations

import json
import math
from typing import Any

from sync.errors import Malformed

DEPTH_MAX = 32
"""Levels of lists and objects; a fact has four."""

INT_MAX = 2**53 - 1
"""The largest whole number that every JSON reader reads exactly (RFC 7493)."""


def read(raw: bytes | str, where: str, *, nul: bool = False) -> Any:
    """The value, if two readers could not disagree about it (I-JSON, RFC 7493).

    `nul` lets U+0000 pass, which no column of text can hold: in a message, where it is an entry's
    fault and not the lane's.

    A duplicate key is refused although the sender has signed it: one reader takes the first and
    another the last, so two nodes with equal hashes would read different facts.

    Raises:
        Malformed: bad UTF-8, a byte order mark, a duplicate key, NaN, a number that cannot be
            held exactly, a lone surrogate, NUL, or more than DEPTH_MAX levels.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value = _DECODER.decode(text)
        # Without an escape no text holds a surrogate or NUL, and brackets nest no deeper than many.
        if "\\u" in text or text.count("{") + text.count("[") > DEPTH_MAX:
            _examine(value, 1, nul=nul)
    except (ValueError, RecursionError) as fault:
        raise Malformed(where=where, because=_reason(fault)) from None
    return value


def _reason(fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return f"more than {DEPTH_MAX} levels"
    return str(fault)[:200]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("duplicate key")
    return made


def _constant(name: str) -> Any:
    raise ValueError(f"not a number: {name}")


def _int(digits: str) -> int:
    # Length first: turning a million digits into a number is slow.
    if len(digits) > len(str(INT_MAX)) + 1 or abs(int(digits)) > INT_MAX:
        raise ValueError("number too large")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    mantissa = digits.lower().partition("e")[0]
    vanished = value == 0 and any(c in "123456789" for c in mantissa)
    if math.isinf(value) or vanished:
        raise ValueError("number out of range")
    return value


def _examine(value: Any, depth: int, *, nul: bool) -> None:
    if isinstance(value, str):
        if "\x00" in value and not nul:
            raise ValueError("NUL, which no column can hold")
        value.encode()
    elif isinstance(value, dict | list):
        if depth > DEPTH_MAX:
            raise RecursionError
        if isinstance(value, dict):
            for key in value:
                _examine(key, depth, nul=nul)
        for item in value.values() if isinstance(value, dict) else value:
            _examine(item, depth + 1, nul=nul)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_int, parse_float=_float
)
