"""所及: which persons, streams and organizations an erasure concerns, found in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.admission import Admission
from domain.aggregate import Aggregate
from domain.claim import Claim
from domain.destruction import Destruction
from domain.erasure import STREAMS_MAX, Erasure
from domain.inflow import Inflow
from domain.ledger import Ledger
from domain.member import Member
from domain.organization import Organization
from domain.outflow import Outflow
from domain.records import decode, head
from domain.transfer import Transfer
from domain.values import OrgCode

_NAMED = """
    SELECT originator_id, originator_version, topic, state FROM stored_events e
    WHERE EXISTS (SELECT FROM unnest(%s::bytea[]) m WHERE position(m IN e.state) > 0)
"""
"""Every record is looked through: no index leads to a person, and none is needed for so rare a
question. Read models are not asked, because they may be behind."""


@dataclass
class About:
    """One person, under every id he has here."""

    person: UUID
    subjects: set[UUID] = field(default_factory=set)
    """The person's id, and those under which hosts had found him before."""
    streams: set[UUID] = field(default_factory=set)


def about(conn: Any, person: UUID) -> About:
    """What the ledger holds about a person.

    A host that found a member first knows him under an id of its own; its stream says later of
    which absence of his it is.
    """
    found = About(person, {person})
    absences: set[UUID] = set()
    claimed: dict[OrgCode, set[str]] = {}
    for record in _named(conn, [person]):
        if (said := head(record)).meta.subject == person:
            stream = _stream(record)
            found.streams.add(stream)
            if record.topic.startswith("outflow."):
                absences.add(stream)
            asked = decode(record) if record.topic == Erasure.Requested.TOPIC else None
            if isinstance(asked, Erasure.Requested):
                # Whom its keeper has recognized and not offered is known here by the claim alone.
                claimed.setdefault(said.meta.keeper, set()).update(map(str, asked.streams))
    others: set[UUID] = set()
    known = {str(absence) for absence in absences}
    for record in _named(conn, known.union(*claimed.values())):
        said = head(record)
        claims = record.topic == Claim.Recognized.TOPIC
        named = known | claimed.get(said.meta.keeper, set()) if claims else known
        if said.meta.subject not in (None, person) and str(said.outflow) in named:
            others.add(said.meta.subject)
    for record in _named(conn, others):
        if head(record).meta.subject in others:
            found.streams.add(_stream(record))
    found.subjects |= others
    return found


def organizations(ledger: Ledger, streams: Iterable[UUID]) -> tuple[OrgCode, ...]:
    """Our peers that keep or hear of one of these streams: of those, only they may hold a key.

    Whom a peer has told, and we do not know, we cannot ask: the peer's receipt names him.
    """
    codes: set[OrgCode] = set()
    for stream in streams:
        known = ledger.find(Aggregate, stream)
        if known is not None and not isinstance(known, Erasure | Destruction):
            codes |= {known.keeper, *known.audience}
    us = ledger.look_up(Organization, Organization.id_of(ledger.org))
    return tuple(sorted(codes & us.peers.keys()))


def ours(ledger: Ledger, streams: Iterable[UUID]) -> tuple[UUID, ...]:
    """Streams of ours by which others know whose person it is, files first."""
    kinds = (Member, Outflow, Transfer, Inflow, Admission, Claim)
    found: list[tuple[int, UUID]] = []
    for stream in streams:
        known = ledger.find(Aggregate, stream)
        if known is not None and known.keeper == ledger.org and isinstance(known, kinds):
            found.append((kinds.index(type(known)), stream))
    return tuple(stream for _, stream in sorted(found))[:STREAMS_MAX]


def _named(conn: Any, ids: Iterable[object]) -> list[StoredEvent]:
    marks = [str(id_).encode() for id_ in ids]
    if not marks:
        return []
    rows = conn.execute(_NAMED, (marks,)).fetchall()
    return [
        StoredEvent(stream, version, topic, bytes(state)) for stream, version, topic, state in rows
    ]


def _stream(record: StoredEvent) -> UUID:
    assert isinstance(record.originator_id, UUID)
    return record.originator_id
