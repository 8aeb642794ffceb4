"""出具证据: an answer, its proof, keys and definitions, as one signed file for an auditor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent

from api.app_state import Running
from api.disclosure import SealedField, keys, sealed_in
from api.evidence.proving import Entry, Marks, Span, around, coded, entries, signed_for
from api.evidence.words import definitions
from api.node import Node
from api.paging import caught_up
from domain import suite
from domain.errors import Refusal
from domain.policy import Policy
from domain.records import PERSONAL
from domain.signet import Signet
from domain.values import DataClass
from sync.keys import b64
from sync.log import Signed
from sync.verifier import evidence
from sync.verifier.defect import write_json
from sync.verifier.evidence import ENTRIES_MAX, EVIDENCE_BYTES, FORMAT
from sync.verifier.keys import HOW

_OF_STREAMS = """
    SELECT notification_id AS position, originator_id, originator_version, topic, state
    FROM stored_events WHERE originator_id = ANY(%(streams)s) AND notification_id <= %(size)s
    ORDER BY notification_id
"""


class RangeTooWide(Refusal):
    """范围过大，一份证据放不下。The range does not fit into one file."""

    kind = "invalid"
    mend = (
        "请缩小范围，分几份出具；各份指定同一个 size，首尾相接。"
        "Make several files, one after the other, all under the checkpoint of one size."
    )


class KeysChangedSince(Refusal):
    """该检查点之后本组织已更换密钥。This organization's keys have changed since that checkpoint."""

    kind = "invalid"
    mend = (
        "请改用 least 或更大的检查点：文件须以现用密钥签名，并附其由来。"
        "Take a checkpoint of at least `least`: a file shows how the key that signs it came about."
    )


class Asking(NamedTuple):
    """Who has a file made, in which role, what for."""

    person: str
    role: str
    purpose: str


async def issue(
    node: Running, marks: Marks, span: Span, asking: Asking, classes: Iterable[DataClass]
) -> bytes:
    """The file; what it has made it checks before handing it out.

    Raises:
        NotFound: there is no such checkpoint.
        SizesUnfit, RangeTooWide, KeysChangedSince.
        Defect: the ledger does not fit its own proof.
    """
    # All that is recorded by now, our keys among it: they must fit what is signed.
    await caught_up(node, "history", node.node.ledger.head)
    signed = await asyncio.to_thread(_signed, node.node, span)
    await caught_up(node, "history", signed.size)
    return await asyncio.to_thread(_made, node.node, marks, span, signed, asking, set(classes))


def _signed(node: Node, span: Span) -> Signed:
    signet = Signet.id_of(node.settings.code)
    changes = (f for f in node.ledger.facts(signet) if f.TOPIC in {Signet.Opened.TOPIC, *HOW})
    least = node.log.position(signet, max(each.originator_version for each in changes))
    if span.size is not None and span.size < least:
        raise KeysChangedSince(size=span.size, least=least)
    return signed_for(node, span, least)


def _made(  # noqa: PLR0913, PLR0917 - what it is made from.
    node: Node, marks: Marks, span: Span, signed: Signed, asking: Asking, classes: set[DataClass]
) -> bytes:
    question = marks.question()
    last = signed.size if span.upto is None else min(span.upto, signed.size)
    if last - span.after > ENTRIES_MAX:
        raise RangeTooWide(entries=last - span.after, maximum=ENTRIES_MAX)
    found = entries(node, question, span.after, last, (ENTRIES_MAX, EVIDENCE_BYTES))
    if (held := sum(len(each.made.state) for each in found)) >= EVIDENCE_BYTES:
        raise RangeTooWide(bytes=held, maximum=EVIDENCE_BYTES)
    head = {"format": FORMAT, "suite": suite.chosen().name, "by": node.settings.code}
    head |= {"made_at": node.clock().isoformat(), **asking._asdict()}
    head |= around(node, (span.after, last), signed, question)
    body = b"".join(
        [
            write_json(head),
            write_json({"definitions": definitions(_names(node))}),
            *(write_json({"fact": each}) for each in _facts(node, found, signed.size)),
            *(_line(each) for each in found),
            *(map(write_json, keys(node.keyring, _fields(found, classes)))),
        ]
    )
    text = evidence.signed_text(body)
    signatures = {node.keys.verify_key: b64(node.keys.sign(text))}
    wire = body + write_json({"signatures": signatures})
    if len(wire) > EVIDENCE_BYTES:
        raise RangeTooWide(bytes=len(wire), maximum=EVIDENCE_BYTES)
    evidence.verify(wire, {})
    return wire


def _names(node: Node) -> dict[str, str]:
    peers = {code: peer.name for code, peer in node.relay.peers().items()}
    return {**peers, node.settings.code: node.settings.name}


def _line(entry: Entry) -> bytes:
    return write_json({"row" if entry.fits else "passed": entry.said, "hash": b64(entry.hashed)})


def _facts(node: Node, found: Sequence[Entry], size: int) -> list[dict[str, Any]]:
    """Our keys, and the policies of whoever keeps a row, from their first on."""
    keepers = {each.made.keeper for each in found if each.fits}
    streams = [Signet.id_of(node.settings.code), *map(Policy.id_of, keepers)]
    rows = node.database.rows(_OF_STREAMS, {"streams": streams, "size": size})
    proofs = node.log.inclusions([row["position"] for row in rows], size)
    return [
        {
            "stream": str(row["originator_id"]),
            "version": row["originator_version"],
            "topic": row["topic"],
            "state": bytes(row["state"]).decode(),
            "index": row["position"] - 1,
            "proof": coded(proof),
        }
        for row, proof in zip(rows, proofs, strict=True)
    ]


def _fields(found: Sequence[Entry], classes: set[DataClass]) -> list[SealedField]:
    """Those of the rows that may be opened."""
    rows = (each.made for each in found if each.fits)
    records = (StoredEvent(row.stream, row.version, row.topic, row.state) for row in rows)
    return [
        field
        for field in sealed_in(records)
        if dict(PERSONAL.get(field.record.topic, ())).get(field.name) in classes
    ]
