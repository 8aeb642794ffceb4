"""跟随: what is still to be done about transfers, found in the read models again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from api.storage.database import Database
from domain.commands import (
    Command,
    ExpireTransfer,
    ForwardRecord,
    HandOn,
    PassOn,
    ReceiveMember,
    TraceFile,
)
from domain.transfer import FORWARDED_BYTES
from domain.values import OrgCode
from projections import affiliations, transfers

GRACE_DAYS = 1
"""How long a third party's record waits for that party to hand it on itself.

Both moments are by clocks of others: one that is more than this ahead of ours is not waited for.
"""

FILED = """
    filed (file, transfer, came_by, continues, keeper, person, at, "to") AS (
        SELECT f.member, f.transfer, f.came_by, f.continues, f.keeper, f.person, a.filed_at, a.org
        FROM affiliation f
        JOIN transfer_answer a ON a.transfer = f.transfer AND a.org = f.released_to
        WHERE a.file IS NOT NULL
    )"""
"""Files that go on at an organization which has said so."""

TO_HAND_ON = f"""
    WITH {FILED}, onward (file, transfer, keeper, "to") AS (
        SELECT file, transfer, keeper, "to" FROM filed
        UNION SELECT d.file, d.transfer, d.keeper, o.onward
        FROM filed d JOIN affiliation_onward o ON o.transfer = d.transfer AND o.org = d."to"
        WHERE d.keeper = %(org)s
    ), kept (stream, "to") AS (
        SELECT h.stream, o."to" FROM onward o
        JOIN affiliation_absence r ON r.member = o.file
        JOIN history h ON h.outflow = r.outflow AND h.org = %(org)s
        UNION SELECT h.stream, t.org FROM affiliation_traced t
        JOIN affiliation_absence r ON r.member = t.file
        JOIN affiliation_hears s ON s.outflow = r.outflow AND s.org = t.org
        JOIN history h ON h.outflow = r.outflow AND h.org = %(org)s
        UNION SELECT file, "to" FROM onward WHERE keeper = %(org)s
        UNION SELECT transfer, "to" FROM onward WHERE keeper = %(org)s
    )
    SELECT k.stream AS record, k."to", min(h.position) AS position,
        min(coalesce(array_position(
            ARRAY['outflow', 'transfer', 'member'], split_part(h.topic, '.', 1)), 4)) AS rank
    FROM kept k JOIN history h ON h.stream = k.stream
    WHERE k."to" = ANY(%(peers)s) AND NOT starts_with(h.topic, 'claim.') AND NOT EXISTS (
        SELECT FROM lane_out l WHERE l.peer = k."to" AND l.stream = k.stream
    )
    GROUP BY k.stream, k."to" ORDER BY rank, position, k."to" LIMIT 1000
"""  # noqa: S608 - nothing but the constant above.
"""What we keep of a member who has gone on, and the present keeper does not hear yet.

Also what is recorded late. The next keeper has said that the file goes on there, so it knows the
absences. A later one is told by us, who keep them: absences, transfer and file, in this order, and
then the rest. Whoever else keeps something waits until it says that it holds that file.
"""

TO_PASS_ON = f"""
    WITH {FILED}, onward (came_by, continues, "to") AS (
        SELECT came_by, continues, "to" FROM filed WHERE keeper = %(org)s
        UNION SELECT d.came_by, d.continues, o.onward
        FROM filed d JOIN affiliation_onward o ON o.transfer = d.transfer AND o.org = d."to"
        WHERE d.keeper = %(org)s
    )
    SELECT o.came_by AS transfer, o."to" FROM onward o
    JOIN affiliation b ON b.member = o.continues
    WHERE b.keeper <> o."to" AND NOT EXISTS (
        SELECT FROM affiliation_onward s
        WHERE s.transfer = o.came_by AND s.org = %(org)s AND s.onward = o."to"
    ) ORDER BY o.came_by, o."to" LIMIT 1000
"""  # noqa: S608 - nothing but the constant above.
"""To whom members have gone on whose files came to us from somebody who does not know it."""

TO_TRACE = """
    WITH RECURSIVE before (transfer, file) AS (
        SELECT g.came_by, f.continues FROM affiliation g
        JOIN affiliation f ON f.member = g.continues WHERE g.keeper = %(org)s
        UNION SELECT b.transfer, f.continues FROM before b JOIN affiliation f ON f.member = b.file
    )
    SELECT b.transfer, b.file FROM before b JOIN affiliation f ON f.member = b.file
    WHERE f.keeper <> %(org)s AND f.released_on IS NOT NULL AND NOT EXISTS (
        SELECT FROM affiliation_traced t WHERE t.file = b.file AND t.org = %(org)s
    ) ORDER BY b.transfer, b.file LIMIT 1000
"""
"""Files before the one that ours goes on from, which have come and of which nobody was told."""

TO_FORWARD = f"""
    WITH RECURSIVE {FILED}, before (transfer, "to", at, person, file) AS (
        SELECT transfer, "to", at, person, file FROM filed WHERE keeper = %(org)s
        UNION SELECT b.transfer, b."to", b.at, b.person, f.continues
        FROM before b JOIN affiliation f ON f.member = b.file WHERE f.continues IS NOT NULL
    ), theirs (transfer, "to", at, person, stream) AS (
        SELECT b.transfer, b."to", b.at, b.person, n.stream FROM before b
        JOIN affiliation_absence r ON r.member = b.file JOIN history n ON n.outflow = r.outflow
        UNION SELECT b.transfer, b."to", b.at, b.person, unnest(ARRAY[f.member, f.transfer])
        FROM before b JOIN affiliation f ON f.member = b.file
        UNION SELECT b.transfer, b."to", b.at, b.person, a.admission FROM before b
        JOIN affiliation f ON f.member = b.file JOIN transfer_answer a ON a.transfer = f.transfer
    )
    SELECT DISTINCT t.transfer, h.stream AS record, h.version, h.position
    FROM theirs t JOIN history h ON h.stream = t.stream
    JOIN stored_events e ON e.notification_id = h.position
    WHERE h.org NOT IN (%(org)s, t."to")
      AND t.at NOT BETWEEN %(from)s AND %(to)s AND h.recorded_at NOT BETWEEN %(from)s AND %(to)s
      AND NOT starts_with(h.topic, 'claim.')
      AND h.subject = t.person AND octet_length(e.state) <= %(most)s
      AND NOT EXISTS (
          SELECT FROM transfer_forwarded w WHERE w.transfer = t.transfer
          AND w.record = h.stream AND w.version = h.version
      )
      AND NOT EXISTS (
          SELECT FROM stored_events s WHERE s.originator_id = h.stream
          AND convert_from(s.state, 'UTF8')::jsonb -> 'meta' -> 'audience' ? t."to"
      )
    ORDER BY h.position, t.transfer LIMIT 1000
"""  # noqa: S608 - nothing but the constant above.
"""What others have recorded of a member we have released, also of the time before he came to us, as
far as the new keeper does not hear it from them."""


def due(database: Database, org: OrgCode, peers: list[OrgCode], now: datetime) -> list[Command]:
    """The commands that a node asks of itself; each looks again before it records anything."""
    asked: dict[str, Any] = {"org": org, "now": now, "peers": peers}
    grace = timedelta(days=GRACE_DAYS)
    asked |= {"from": now - grace, "to": now + grace, "most": FORWARDED_BYTES}
    found: list[tuple[type[Command], str]] = [
        (ExpireTransfer, transfers.EXPIRED),
        (ReceiveMember, affiliations.RELEASED),
        (PassOn, TO_PASS_ON),
        (TraceFile, TO_TRACE),
        (HandOn, TO_HAND_ON),
        (ForwardRecord, TO_FORWARD),
    ]
    return [
        kind.model_validate({n: v for n, v in row.items() if n in kind.model_fields})
        for kind, query in found
        for row in database.rows(query, asked)
    ]


def run_out(database: Database, org: OrgCode, now: datetime) -> list[tuple[UUID, int]]:
    """Our open offers past their time, the longest waiting first."""
    with database.connection() as conn:
        return conn.execute(
            "SELECT outflow, offer FROM custody_flow"
            " WHERE offer_state = 'open' AND origin = %s AND until < %s"
            " ORDER BY until, outflow LIMIT 1000",
            (org, now),
        ).fetchall()
