"""清除通道簿: empties the evidence of refused messages of whom is erased."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.records import Unreadable, decode, digest

ERASED = b"waystation/erased/v1 "
"""In the place of a message's bytes: this, and their SHA-256."""

_FOUND = """
    SELECT id, wire, evidence, stream, version, topic, state FROM quarantine
    WHERE id > %(after)s AND NOT starts_with(encode(wire, 'escape'), %(erased)s)
      AND (subject = ANY(%(ids)s) OR stream = ANY(%(ids)s) OR EXISTS (
        SELECT FROM unnest(%(marks)s::bytea[]) m
        WHERE position(m IN wire) > 0 OR position(m IN state) > 0
      ))
    ORDER BY id LIMIT 100
"""
_EMPTY = "UPDATE quarantine SET wire = %s, evidence = %s, state = %s WHERE id = %s"


def empty(conn: Any, ids: Collection[UUID]) -> int:
    """Empty what names these persons, streams or keys, within the caller's transaction; how much.

    The bytes a batch came in hold sealed grants, and what was malformed may hold a name in the
    clear. Their digests stay: what is sent again is still recognized, and the evidence that
    something came. A sealed body stays as the ledger's do.
    """
    marks, after, emptied = [str(id_).encode() for id_ in ids], 0, 0
    while True:
        asked = {"ids": list(ids), "marks": marks, "after": after, "erased": ERASED.decode()}
        rows = conn.execute(_FOUND, asked).fetchall()
        for id_, wire, evidence, *entry in rows:
            conn.execute(_EMPTY, (*_emptied(bytes(wire), evidence, entry), id_))
            after, emptied = id_, emptied + 1
        if not rows:
            return emptied


def _emptied(wire: bytes, evidence: dict[str, str], entry: list[Any]) -> tuple[Any, ...]:
    gone = ERASED + hashlib.sha256(wire).hexdigest().encode() if wire else b""
    if entry[0] is None:
        return gone, json.dumps({"erased": hashlib.sha256(wire).hexdigest()}), entry[3]
    stream, version, topic, state = entry
    record = StoredEvent(stream, version, topic, bytes(state))
    try:
        decode(record)
    except (Unreadable, ValueError, LookupError):
        return gone, json.dumps({"erased": digest(record)}), b""
    return gone, json.dumps(evidence), record.state
