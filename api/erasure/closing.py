"""封闭簿: what is closed here, how far it is carried out, and which keys were destroyed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from api.erasure.about import About
from api.storage.database import Database
from domain.sealing import Closure
from domain.values import DataClass, OrgCode
from projections import erasing
from sync import book_erased

Closed = dict[tuple[UUID, DataClass], Closure]
"""By person and class, why it does not open."""

TABLES = """
    CREATE TABLE IF NOT EXISTS closing (
        subject uuid NOT NULL, data_class text NOT NULL, person uuid NOT NULL, state text NOT NULL,
        scrubbed boolean NOT NULL DEFAULT true, PRIMARY KEY (subject, data_class)
    );
    CREATE TABLE IF NOT EXISTS destroyed_key (
        id uuid PRIMARY KEY, person uuid NOT NULL, data_class text NOT NULL
    );
    CREATE INDEX IF NOT EXISTS stored_events_erasing ON stored_events (originator_id)
        WHERE left(topic, 8) IN ('erasure.', 'destruct');
"""
SCRUBBED = (*erasing.TABLES, "quarantine", "idempotency", "lane_given")
"""The tables that are written anew: they alone can have held a person's data, or its marks."""

_ERASURES = """
    SELECT DISTINCT originator_id FROM stored_events
    WHERE left(topic, 8) IN ('erasure.', 'destruct') AND topic = 'erasure.requested'
"""
_KEYS = """
    SELECT id, slot FROM subject_key WHERE subject = ANY(%s) AND data_class = ANY(%s)
"""
_DESTROY = """
    WITH gone AS (
        DELETE FROM subject_key WHERE subject = ANY(%s) AND data_class = ANY(%s)
        RETURNING id, data_class
    )
    INSERT INTO destroyed_key SELECT id, %s, data_class FROM gone ON CONFLICT DO NOTHING
"""
_GRANTED = """
    SELECT peer FROM unnest(%(peers)s::text[]) AS p (peer) WHERE EXISTS (
        SELECT FROM lane_grant g WHERE g.peer = p.peer AND g.key IN (
            SELECT k.id FROM subject_key k JOIN closing c USING (subject, data_class)
            WHERE c.person = %(person)s AND c.data_class = ANY(%(classes)s)
            UNION ALL
            SELECT id FROM destroyed_key
            WHERE person = %(person)s AND data_class = ANY(%(classes)s)
        )
    ) ORDER BY 1
"""
_CLOSE = """
    INSERT INTO closing (subject, data_class, person, state, scrubbed)
    SELECT subject, data_class, %s, %s, %s
    FROM unnest(%s::uuid[]) AS s (subject), unnest(%s::text[]) AS c (data_class)
    ON CONFLICT (subject, data_class) DO UPDATE
        SET state = excluded.state, person = excluded.person, scrubbed = excluded.scrubbed
"""


class ClosingBook:
    """Reads and writes the tables above; every change is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.connection() as conn:
            conn.execute(TABLES)

    def erasures(self) -> list[UUID]:
        """The streams of every erasure, ours and our peers'."""
        with self._database.connection() as conn:
            return [row[0] for row in conn.execute(_ERASURES, prepare=True).fetchall()]

    def carried(self) -> tuple[Closed, dict[UUID, set[UUID]]]:
        """What is carried out, and the ids of each person."""
        query = "SELECT subject, data_class, person, state FROM closing"
        with self._database.connection() as conn:
            rows = conn.execute(query, prepare=True).fetchall()
        closed: Closed = {}
        ids: dict[UUID, set[UUID]] = {}
        for subject, data_class, person, state in rows:
            closed[subject, DataClass(data_class)] = Closure(state)
            ids.setdefault(person, set()).add(subject)
        return closed, ids

    def keys(self, subjects: Iterable[UUID], classes: Iterable[DataClass]) -> dict[UUID, int]:
        """The keys that are kept of these persons and classes, with their slots."""
        with self._database.connection() as conn:
            rows = conn.execute(_KEYS, (list(subjects), list(classes)))
            return dict(rows.fetchall())

    def hide(self, found: About, classes: Collection[DataClass], why: Closure) -> None:
        """Empty the read models of what is closed, and put down that it is."""
        with self._database.connection() as conn, conn.transaction():
            erasing.empty(conn, found.streams, classes)
            _close(conn, found, classes, why, scrubbed=True)

    def destroy(self, found: About, classes: Collection[DataClass]) -> None:
        """Remove the rows of keys, and empty everything that may hold what they opened."""
        subjects, kinds = list(found.subjects), [each.value for each in classes]
        with self._database.connection() as conn, conn.transaction():
            erasing.empty(conn, found.streams, classes)
            keys = [row[0] for row in conn.execute(_KEYS, (subjects, kinds)).fetchall()]
            conn.execute(_DESTROY, (subjects, kinds, found.person))
            conn.execute("DELETE FROM lane_withheld WHERE key = ANY(%s)", (keys,))
            conn.execute("DELETE FROM lane_given")  # Holds sealed grants; it is asked for again.
            book_erased.empty(conn, {*found.subjects, *found.streams, *keys})
            conn.execute("DELETE FROM idempotency WHERE stream = ANY(%s)", (list(found.streams),))
            _close(conn, found, classes, Closure.ERASED, scrubbed=False)

    def stray(self) -> dict[UUID, set[DataClass]]:
        """Persons of whom a key has come in after they were erased, with its class."""
        query = (
            "SELECT DISTINCT c.person, c.data_class FROM closing c JOIN subject_key k"
            " USING (subject, data_class) WHERE c.state = %s"
        )
        found: dict[UUID, set[DataClass]] = {}
        with self._database.connection() as conn:
            for person, data_class in conn.execute(query, (Closure.ERASED.value,)).fetchall():
                found.setdefault(person, set()).add(DataClass(data_class))
        return found

    def unscrubbed(self) -> bool:
        """Whether something was erased whose traces may still stand in files."""
        with self._database.connection() as conn:
            query = "SELECT EXISTS (SELECT FROM closing WHERE NOT scrubbed)"
            return bool(conn.execute(query, prepare=True).fetchone()[0])  # type: ignore[index]

    def note_scrubbed(self) -> None:
        """They do not."""
        with self._database.connection() as conn:
            conn.execute("UPDATE closing SET scrubbed = true WHERE NOT scrubbed")

    def open(self, closed: Iterable[tuple[UUID, DataClass]]) -> None:
        """Put down that these are open again."""
        with self._database.connection() as conn, conn.transaction():
            for subject, data_class in closed:
                conn.execute(
                    "DELETE FROM closing WHERE subject = %s AND data_class = %s AND state <> %s",
                    (subject, data_class.value, Closure.ERASED.value),
                )

    def destroyed(self, person: UUID, classes: Iterable[DataClass]) -> list[UUID]:
        """The keys of a person and classes that were destroyed here."""
        query = "SELECT id FROM destroyed_key WHERE person = %s AND data_class = ANY(%s)"
        with self._database.connection() as conn:
            rows = conn.execute(query, (person, [each.value for each in classes])).fetchall()
        return sorted(row[0] for row in rows)

    def granted_to(
        self, person: UUID, classes: Iterable[DataClass], peers: Sequence[OrgCode]
    ) -> list[OrgCode]:
        """To which of our peers a key of a closed person was granted by us."""
        said = {"person": person, "classes": [each.value for each in classes], "peers": peers}
        with self._database.connection() as conn:
            return [row[0] for row in conn.execute(_GRANTED, said, prepare=True).fetchall()]


def _close(
    conn: Any, found: About, classes: Collection[DataClass], why: Closure, *, scrubbed: bool
) -> None:
    kinds = [each.value for each in classes]
    conn.execute(_CLOSE, (found.person, why.value, scrubbed, list(found.subjects), kinds))


def by_person(
    closed: Mapping[tuple[UUID, DataClass], Closure],
) -> dict[UUID, dict[Closure, list[DataClass]]]:
    """The same, gathered by person and reason."""
    gathered: dict[UUID, dict[Closure, list[DataClass]]] = {}
    for (person, data_class), why in closed.items():
        gathered.setdefault(person, {}).setdefault(why, []).append(data_class)
    return gathered
