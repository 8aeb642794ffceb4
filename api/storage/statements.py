"""语句: what the recorder says to the database."""

from __future__ import annotations

from api.storage.tree import GROWN

TABLE = "stored_events"
TRACKING = "bookmarks"

GROUP = f"""
    WITH input AS (
        SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::int[])
        WITH ORDINALITY AS t (stream, version, topic, state, command, place)
    ), taken AS (
        SELECT DISTINCT i.command FROM input i JOIN {TABLE} e
        ON e.originator_id = i.stream AND e.originator_version = i.version
    ), {GROWN}, added AS (
        INSERT INTO {TABLE} (notification_id, originator_id, originator_version, topic, state)
        SELECT size - (SELECT count(*) FROM input) + place, stream, version, topic, state
        FROM input, grown ORDER BY place
        RETURNING notification_id, entered_at
    )
    SELECT notification_id, entered_at, NULL::int, (SELECT pg_notify('{TABLE}', '')) IS NULL
    FROM added UNION ALL SELECT NULL, NULL, command, NULL FROM taken
"""  # noqa: S608 - the names are constants of this module.

SINCE = f"""
    SELECT notification_id, originator_id, originator_version, topic, state, entered_at
    FROM {TABLE} WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""  # noqa: S608

STREAM = f"""
    SELECT originator_id, originator_version, topic, state FROM {TABLE}
    WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s
"""  # noqa: S608
