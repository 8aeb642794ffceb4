"""查阅: the facts about a person as they were known, here or by a peer, at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.node import Node
from domain.aggregate import Fact
from domain.errors import Refusal
from domain.member import Member
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from domain.records import decode, digest
from domain.values import OrgCode
from projections.search import FAR, position_at

FACTS_MAX = 20_000
"""Facts about one person that one answer is computed from."""


class TooManyFacts(Refusal):
    """关于此人的事实过多，一次答复不了。There are too many facts for one answer."""

    mend = "请用 known_at 缩小范围，或逐页查 /history。Narrow it by known_at, or page /history."


class Seen(NamedTuple):
    """A fact as it stands in this ledger."""

    position: int
    fact: Fact
    record: StoredEvent
    entered_at: datetime


class Known(NamedTuple):
    """Whose knowledge, and as of when: of this node up to a position, or of a peer of ours.

    `number` is what the peer had acknowledged of our lane to it by then.
    """

    until: int = FAR
    at: datetime | None = None
    to: OrgCode | None = None
    number: int = 0

    def marks(self) -> dict[str, Any]:
        """For a search of the history."""
        if self.to is None:
            return {"until": self.until}
        return {"known_to": self.to, "number": self.number, "at": self.at}


NOW = Known()

_OF_STREAMS = """
    SELECT notification_id, originator_id, originator_version, topic, state, entered_at
    FROM stored_events WHERE originator_id = ANY(%s) AND notification_id <= %s
    ORDER BY notification_id LIMIT %s
"""
_STREAMS = """
    WITH mine AS (SELECT DISTINCT stream, outflow FROM history WHERE subject = %(person)s)
    SELECT stream FROM mine UNION
    SELECT h.stream FROM history h JOIN mine m ON h.outflow = m.outflow
"""


class Reader:
    """Reads one node's ledger; what was not known at a moment it leaves out."""

    def __init__(self, node: Node) -> None:
        self.node, self.ledger = node, node.ledger

    def known(self, at: datetime | None = None, to: OrgCode | None = None) -> Known:
        """A moment of knowledge.

        Raises:
            PeerUnknown: the organization is not one of our peers.
        """
        if to is None or to == self.ledger.org:
            if at is None:
                return NOW
            with self.node.database.connection() as conn:
                return Known(position_at(conn, at), at)
        if to not in (peers := self.node.relay.peers()):
            raise PeerUnknown(peer=to, enrolled=sorted(peers))
        moment = at or self.node.clock()
        return Known(FAR, moment, to, self.node.lanes.heard_up_to(to, moment))

    def person(self, member: UUID) -> UUID:
        """Whom a file is about; the id itself where there is none of it here."""
        file = self.ledger.find(Member, member)
        return file.person if file else member

    def of(self, outflow: UUID) -> UUID:
        """Who is away in an absence.

        Raises:
            NotFound.
        """
        return self.ledger.look_up(Outflow, outflow).person

    def about(self, person: UUID, known: Known = NOW, *more: UUID) -> list[Seen]:
        """Everything about a person, in the ledger's order, with streams not yet in the history.

        Raises:
            TooManyFacts.
        """
        with self.node.database.connection() as conn:
            rows = conn.execute(_STREAMS, {"person": person}, prepare=True).fetchall()
        return self.streams({person, *(row[0] for row in rows), *more}, known)

    def streams(self, streams: Iterable[UUID], known: Known = NOW) -> list[Seen]:
        """The facts of some streams.

        Raises:
            TooManyFacts.
        """
        asked = list(streams)
        with self.node.database.connection() as conn, conn.cursor(binary=True) as cursor:
            values = (asked, known.until, FACTS_MAX + 1)
            rows = cursor.execute(_OF_STREAMS, values, prepare=True).fetchall()
        if len(rows) > FACTS_MAX:
            raise TooManyFacts(maximum=FACTS_MAX)
        read = ((row[0], StoredEvent(*row[1:5]), row[5]) for row in rows)
        seen = [
            Seen(position, fact, record, entered_at)
            for position, record, entered_at in read
            if (fact := decode(record)) is not None
        ]
        return seen if known.to is None else self._heard(seen, known)

    def _heard(self, seen: Sequence[Seen], known: Known) -> list[Seen]:
        """What a peer had: of our facts what it had acknowledged, of its own what it had recorded.

        What third organizations told it is not known here, and left out.
        """
        assert known.to is not None
        assert known.at is not None
        streams = {each.fact.originator_id for each in seen}
        heard = self.node.lanes.received(known.to, list(streams), known.number, known.at)
        return [
            each
            for each in seen
            if (each.fact.originator_id, each.fact.originator_version) in heard
            or (each.fact.meta.keeper == known.to and each.fact.meta.recorded_at <= known.at)
        ]

    def at(self, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The evidence at some positions."""
        query = _OF_STREAMS.replace("originator_id = ANY(%s)", "notification_id = ANY(%s)")
        with self.node.database.connection() as conn:
            rows = conn.execute(query, (list(positions), FAR, len(positions))).fetchall()
        records = ((r[0], StoredEvent(r[1], r[2], r[3], bytes(r[4])), r[5]) for r in rows)
        return {
            position: self.evidence(Seen(position, fact, record, entered_at))
            for position, record, entered_at in records
            if (fact := decode(record)) is not None
        }

    def evidence(self, seen: Seen) -> dict[str, Any]:
        """Who recorded a fact, when, from where, by which rules, and what proves it."""
        fact, meta = seen.fact, seen.fact.meta
        author = meta.author
        return {
            "topic": fact.TOPIC,
            "says": (type(fact).__doc__ or "").strip().splitlines()[0],
            "stream": fact.originator_id,
            "version": fact.originator_version,
            "position": seen.position,
            "digest": digest(seen.record),
            "by": author.org,
            "person": author.person,
            "role": author.role,
            "on_behalf_of": author.on_behalf_of,
            "channel": author.channel,
            "occurred_on": meta.occurred.on,
            "recorded_at": meta.recorded_at,
            "entered_at": seen.entered_at,
            "source": meta.source.model_dump(mode="json", exclude_none=True),
            "policy": meta.policy,
            "correlation": meta.correlation,
            "causation": meta.causation and meta.causation.model_dump(),
            "corrects": meta.corrects and meta.corrects.model_dump(),
            # Where the proof that it stands in the signed ledger is to be had.
            "proof": f"/facts/{fact.originator_id}/{fact.originator_version}/proof",
        }
