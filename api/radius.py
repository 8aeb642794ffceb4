"""影响范围: what is stale because a stream has stopped, and what it would change to retry it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.node import Node
from api.watch import terms_of
from domain.aggregate import CIVIL_ZONE
from domain.policy import Terms
from domain.values import OrgCode
from projections import contacts, custody
from projections.projection import Row, Table
from projections.rehearsal import Change
from projections.tables import ask
from sync.checks import said_about

ABSENCES_MAX = 100
"""Absences that are looked at one by one; all of them are counted."""

_OUTFLOWS = """
    SELECT outflow FROM contact_absence
    WHERE outflow = ANY(%(outflows)s::uuid[]) OR member = ANY(%(members)s::uuid[])
       OR origin = ANY(%(origins)s::text[]) AND open
       OR outflow IN (SELECT outflow FROM attendance WHERE activity = ANY(%(streams)s::uuid[]))
    ORDER BY outflow
"""
_FIGURES = """
    SELECT origin, state, count(*) AS shown FROM roster_flow WHERE origin IN (
        SELECT origin FROM roster_flow WHERE outflow = ANY(%(outflows)s::uuid[])
    ) GROUP BY origin, state ORDER BY origin, state
"""


class Radius:
    """Looks at one node's read models."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def of(self, parked: Row) -> dict[str, Any]:
        """Whom and what a stopped stream concerns, as the read models stand now."""
        ids = self._ids([parked])
        topic = str(parked["topic"])
        projections = self._node.projector.projections.values()
        stale = [p for p in projections if p.wants(topic)]
        with self._node.database.connection() as conn:
            outflows = [row["outflow"] for row in ask(conn, _OUTFLOWS, ids)]
            known = {**ids, "outflows": [*{*ids["outflows"], *outflows}]}
            rows = {
                table.name: count
                for projection in stale
                for table in projection.tables
                if (count := _count(conn, table, known))
            }
            figures = ask(conn, _FIGURES, known)
            return {
                "members": ids["members"],
                "absences": outflows[:ABSENCES_MAX],
                "absence_count": len(outflows),
                "read_models": [projection.name for projection in stale],
                "rows": rows,
                "figures": {"away": figures},
                "obligations": self._obligations(conn, outflows[:ABSENCES_MAX]),
                "unreadable": not (ids["members"] or outflows or ids["origins"]),
            }

    def rehearse(self, peer: OrgCode, records: Sequence[StoredEvent]) -> dict[str, Any]:
        """What recording these would change: rows field by field, and what depends on them."""
        parked = [_about(peer, record) for record in records]
        ids = self._ids(parked)

        def obligations(conn: Any) -> dict[str, Row]:
            # Asked before and after: a record may itself bring the absence that it concerns.
            outflows = [row["outflow"] for row in ask(conn, _OUTFLOWS, ids)]
            return self._obligations(conn, outflows[:ABSENCES_MAX])

        found = self._node.projector.rehearse(records, obligations)
        depends = [
            {"obligation": name, "field": field, "before": old.get(field), "after": new.get(field)}
            for name in found.before.keys() | found.after.keys()
            for old, new in [(found.before.get(name, {}), found.after.get(name, {}))]
            for field in {*old, *new}
            if old.get(field) != new.get(field)
        ]
        return {
            "rows": found.rows,
            "fields": found.fields,
            "changes": [_shown(change) for change in found.changes],
            "stops": found.stops,
            "depends": sorted(depends, key=lambda d: (d["obligation"], d["field"])),
        }

    def _ids(self, parked: Sequence[Row]) -> dict[str, list[Any]]:
        policies = [row["peer"] for row in parked if str(row["topic"]).startswith("policy.")]
        return {
            "outflows": [*{row["outflow"] for row in parked if row["outflow"] is not None}],
            "members": [*{row["subject"] for row in parked if row["subject"] is not None}],
            "streams": [*{row["stream"] for row in parked}],
            "origins": policies,
        }

    def _obligations(self, conn: Any, outflows: Sequence[UUID]) -> dict[str, Row]:
        """The contact that is due, and whose turn it is, of each absence."""
        found: dict[str, Row] = {}
        today = self._node.clock().astimezone(CIVIL_ZONE).date()
        for outflow in outflows:
            values = {
                **dict.fromkeys(("carer", "after")),
                "outflow": outflow,
                "overdue": False,
                "today": today,
                "default_days": Terms().contact_interval_days,
                "limit": 1,
            }
            for row in ask(conn, contacts.DUE, values):
                found[f"contacts/due {outflow}"] = row
            asked = {"outflow": outflow, "open": False, "after": None, "limit": 1}
            for row in ask(conn, custody.BOARD, asked):
                waits = custody.turn(row, terms_of(self._node, row["origin"]))
                found[f"custody {outflow}"] = {
                    "state": row["state"],
                    "carer": row["carer"],
                    "turn": waits.whose if waits else None,
                    "until": waits.until if waits else None,
                    "action": waits.action if waits else None,
                }
        return found


def _about(peer: OrgCode, record: StoredEvent) -> Row:
    subject, outflow = said_about(record)
    stream = record.originator_id
    if record.topic.startswith("outflow."):
        assert isinstance(stream, UUID)
        outflow = stream
    return {
        "topic": record.topic,
        "stream": stream,
        "subject": subject,
        "outflow": outflow,
        "peer": peer,
    }


def _shown(change: Change) -> dict[str, Any]:
    return change._asdict()


def _count(conn: Any, table: Table, ids: dict[str, list[Any]]) -> int:
    """The rows of a table that belong to a stream, a member or an absence."""
    wheres = [
        f"{column} = ANY(%({kind})s::uuid[])"
        for column, kind in (("outflow", "outflows"), ("member", "members"), (table.key, "streams"))
        if table.columns.get(column) == "uuid"
    ]
    if not wheres:
        return 0
    query = f"SELECT count(*) FROM {table.name} WHERE {' OR '.join(wheres)}"  # noqa: S608
    return int(conn.execute(query, ids).fetchone()[0])
