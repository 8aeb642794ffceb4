"""审计: answers about the past, from the facts themselves, on both axes of time."""

from __future__ import annotations

from datetime import date, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.storage.database import Database
from domain.aggregate import Aggregate, Fact
from domain.contact import Contact
from domain.errors import Refusal
from domain.inflow import Inflow
from domain.ledger import Ledger, NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.records import decode, digest, open_field
from domain.values import OrgCode

_KNOWN = """
    SELECT originator_id, originator_version, topic, state, entered_at FROM stored_events
    WHERE originator_id = ANY(%s) AND (%s::timestamptz IS NULL OR entered_at <= %s)
    ORDER BY notification_id
"""
_ABOUT = """
    SELECT DISTINCT stream FROM history WHERE subject = %s AND starts_with(topic, %s) LIMIT 10000
"""


_ABOUT_A_PERSON = (
    Member.Registered,
    Member.PhoneRecorded,
    Member.AddressRecorded,
    Member.IdentityCorrected,
    Inflow.Found,
    Inflow.DetailsRecorded,
)

FIELDS = frozenset(
    name for kind in _ABOUT_A_PERSON for name in kind.model_fields if name not in Fact.model_fields
)
"""What has a trail."""


class NoSuchField(Refusal):
    """党员没有这个项目。Nothing of that name is recorded about a person."""

    kind = "missing"
    mend = "请从 known 中选择。Choose one of those under known."


class Auditor:
    """Asks one node's ledger; what it did not know at a moment it leaves out."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger

    def responsible(
        self, outflow: UUID, on: date, known_at: datetime | None = None
    ) -> dict[str, Any]:
        """Who held the affiliation, and who had the daily care, on a day, as known at a moment.

        Raises:
            NotFound: this node knew nothing of the absence then.
        """
        seen = self._as_known([outflow], known_at)
        absence = _fold(seen)
        if not isinstance(absence, Outflow):
            raise NotFound(kind="outflow", id=outflow)
        evidence = [_evidence(fact, record, at) for fact, record, at in seen]
        return {
            "outflow": outflow,
            "on": on,
            "known_at": known_at,
            "affiliation": absence.keeper,
            "care": absence.carer_on(on),
            "state": absence.state,
            "stays": [stay._asdict() for stay in absence.stays],
            "facts": evidence,
        }

    def known(self, outflow: UUID, on: date, known_at: datetime | None = None) -> dict[str, Any]:
        """What this node knew at a moment about a day: care, telephone and contacts up to it."""
        answer = self.responsible(outflow, on, known_at)
        member = self._ledger.look_up(Outflow, outflow).member
        # By the day it was the number, not by when that was told; of one day the last told.
        phone = sorted(
            (v for v in self.trail(member, "phone", known_at) if v["occurred_on"] <= on),
            key=itemgetter("occurred_on"),
        )
        contacts = self._contacts(member, outflow, on, known_at)
        answer["phone"] = phone[-1]["value"] if phone else None
        answer["contacts"] = len(contacts)
        answer["last_contact"] = max(contacts.values(), default=None)
        return answer

    def _contacts(
        self, member: UUID, outflow: UUID, on: date, known_at: datetime | None
    ) -> dict[UUID, date]:
        """The contacts up to a day that stood, as known at a moment: their days."""
        standing = {}
        for fact, _, _ in self._as_known(self._streams(member, "contact."), known_at):
            day = fact.meta.occurred.on
            match fact:
                case Contact.Made() | Contact.Visited() if fact.outflow == outflow and day <= on:
                    standing[fact.originator_id] = day
                case Contact.Withdrawn():
                    standing.pop(fact.originator_id, None)
        return standing

    def trail(
        self, member: UUID, field: str, known_at: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Every value a field of a person ever had here, in order, each with where it came from.

        Raises:
            NoSuchField: nothing is recorded about a person under that name.
        """
        if field not in FIELDS:
            raise NoSuchField(field=field[:64], known=sorted(FIELDS))
        streams = [member, *self._streams(member, "inflow.")]
        values = []
        for fact, record, at in self._as_known(streams, known_at):
            if isinstance(fact, _ABOUT_A_PERSON) and getattr(fact, field, None) is not None:
                value = open_field(fact, field, self._ledger.keyring)
                values.append({"value": value, **_evidence(fact, record, at)})
        return values

    def _streams(self, subject: UUID, topic: str) -> list[UUID]:
        with self._database.connection() as conn:
            rows = conn.execute(_ABOUT, (subject, topic), prepare=True).fetchall()
        return [row[0] for row in rows]

    def _as_known(
        self, streams: list[UUID], known_at: datetime | None
    ) -> list[tuple[Fact, StoredEvent, datetime]]:
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            rows = cursor.execute(_KNOWN, (streams, known_at, known_at), prepare=True).fetchall()
        read = [(StoredEvent(*row[:4]), row[4]) for row in rows]
        return [(fact, record, at) for record, at in read if (fact := decode(record)) is not None]


def _fold(seen: list[tuple[Fact, StoredEvent, datetime]]) -> Aggregate | None:
    aggregate: Aggregate | None = None
    for fact, _, _ in seen:
        aggregate = fact.mutate(aggregate)
    return aggregate


def _evidence(fact: Fact, record: StoredEvent, entered_at: datetime) -> dict[str, Any]:
    meta = fact.meta
    org: OrgCode = meta.author.org
    return {
        "topic": fact.TOPIC,
        "stream": fact.originator_id,
        "version": fact.originator_version,
        "digest": digest(record),
        "by": org,
        "person": meta.author.person,
        "occurred_on": meta.occurred.on,
        "recorded_at": meta.recorded_at,
        "entered_at": entered_at,
        "source": meta.source.model_dump(mode="json", exclude_none=True),
    }
