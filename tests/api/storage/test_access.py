"""查阅登记簿: reads are put down durably, in one chain, and whatever is done to it is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from api.access.verifying import Broken, Verified, verify
from api.node import Node
from api.seals import forget, seal
from api.settings import Settings
from api.storage.access import (
    KEEP_MIN_DAYS,
    SEAL_ROWS_MAX,
    SEAL_S,
    AccessBook,
    ReadUnrecorded,
)
from api.storage.database import Database
from api.storage.errors import DatabaseAway
from api.storage.read import Read, persons
from api.storage.server import EmbeddedServer
from domain.commands import ForgetReads
from sync.keys import NodeKeys
from tests.api.support import until
from tests.support.postgres import empty_schema

NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def a_node(postgres: EmbeddedServer, clock: Clock) -> Iterator[Node]:
    with empty_schema(postgres.url) as fresh, closing(Database(postgres.url, fresh.schema)) as own:
        settings = Settings.model_validate({"code": "jiuquan", "name": "酒泉市委组织部"})
        with Node(settings, own, NodeKeys.generate(), clock) as made:
            yield made


@pytest.fixture
def node(postgres: EmbeddedServer, clock: Clock) -> Iterator[Node]:
    with a_node(postgres, clock) as made:
        yield made


@pytest.fixture(scope="module")
def kept(postgres: EmbeddedServer) -> Iterator[Node]:
    """Thirty rows, twenty of them sealed by two seals."""
    with a_node(postgres, Clock()) as made:
        filled(made)
        with made.database.connection() as conn:
            conn.execute("CREATE TABLE copy AS SELECT * FROM access")
            conn.execute("CREATE TABLE copy_subject AS SELECT * FROM access_subject")
        yield made


@pytest.fixture
def sealed(kept: Node) -> Iterator[Node]:
    """The same, as it was, for every tampering."""
    assert look(kept) is None
    yield kept
    alter(kept, "DELETE FROM access")
    alter(kept, "DELETE FROM access_subject")
    alter(kept, "INSERT INTO access SELECT * FROM copy")
    alter(kept, "INSERT INTO access_subject SELECT * FROM copy_subject")


def a_read(seed: int = 0, people: int = 3, **other: Any) -> Read:
    r = random.Random(seed)
    known: dict[str, Any] = {
        "at": NOW,
        "account": "li",
        "role": "officer",
        "purpose": "care",
        "act": "view",
        "what": "roster",
        "subjects": tuple(UUID(int=r.getrandbits(128), version=4) for _ in range(people)),
        "fields": ("name", "phone"),
        "request": UUID(int=r.getrandbits(128), version=4),
        "outcome": "shown",
    }
    return Read(**{**known, **other})


def filled(node: Node, reads: int = 30, sealed: int = 20) -> None:
    """So many reads, the first of them sealed in two seals."""
    for n in range(1, reads + 1):
        node.access.record(a_read(n, people=n % 4))
        if n in {sealed // 2, sealed}:
            seal(node, everything=True)


def look(node: Node) -> Broken | None:
    return verify(node.database).broken


def alter(node: Node, statement: str, *values: Any) -> None:
    """As somebody who owns the database."""
    with node.database.connection() as conn, conn.transaction():
        for table in ("access", "access_subject"):
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER access_stays")
        conn.execute(statement, values)
        for table in ("access", "access_subject"):
            conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER access_stays")


# Recording.


def test_a_read_is_there_when_it_is_recorded(node: Node) -> None:
    node.access.record(a_read(1))

    (row,) = node.database.rows("SELECT * FROM access", {})
    assert row["number"] == 1
    assert row["account"] == "li"
    assert set(persons(row["subjects"])) == set(a_read(1).subjects)
    assert row["count"] == 3
    assert row["fields"] == ["name", "phone"]


def test_reads_from_many_threads_are_numbered_without_a_gap(node: Node) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: node.access.record(a_read(n)), range(400)))

    found = verify(node.database)
    assert (found.rows, found.broken) == (400, None)


def test_a_book_opened_again_goes_on(node: Node) -> None:
    node.access.record(a_read(1))
    AccessBook(node.database).record(a_read(2))
    # The first one finds that its number is taken, says so, and looks again.
    with pytest.raises(ReadUnrecorded):
        node.access.record(a_read(3))
    node.access.record(a_read(4))

    found = verify(node.database)
    assert (found.rows, found.broken) == (3, None)


def test_what_cannot_be_recorded_is_refused_and_the_next_is_not(node: Node) -> None:
    with node.database.connection() as conn:
        conn.execute("ALTER TABLE access RENAME TO away")
    with pytest.raises(ReadUnrecorded) as refused:
        node.access.record(a_read(1))
    assert refused.value.kind == "busy"

    with node.database.connection() as conn:
        conn.execute("ALTER TABLE away RENAME TO access")
    node.access.record(a_read(2))

    assert verify(node.database).rows == 1


def test_a_database_that_is_away_is_named_and_not_the_register(
    node: Node, postgres: EmbeddedServer
) -> None:
    with (
        psycopg.connect(postgres.url) as other,
        psycopg.connect(postgres.url, autocommit=True) as killer,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute(f"LOCK TABLE {node.database.schema}.access")
        waiting = pool.submit(node.access.record, a_read(1))
        mine = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        (found,) = until(lambda: killer.execute(mine, [other.info.backend_pid]).fetchall())
        killer.execute("SELECT pg_terminate_backend(%s)", found)

        with pytest.raises(DatabaseAway):
            waiting.result(10)

    node.access.record(a_read(2))
    assert verify(node.database).rows == 1


def test_a_connection_that_was_lost_meanwhile_costs_nobody_a_read(
    node: Node, postgres: EmbeddedServer
) -> None:
    node.access.record(a_read(1))
    with psycopg.connect(postgres.url, autocommit=True) as killer:
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> %s AND query <> ''"
        )
        killer.execute(end + " AND backend_type = 'client backend'", [killer.info.backend_pid])
    with pytest.raises(DatabaseAway):  # Somebody else finds out.
        node.database.rows("SELECT 1", {})

    node.access.record(a_read(2))

    assert verify(node.database).rows == 2


# Sealing.


def test_rows_wait_for_their_seal_no_longer_than_they_may(node: Node, clock: Clock) -> None:
    node.access.record(a_read(1))
    clock.now += timedelta(seconds=SEAL_S) - timedelta(milliseconds=1)
    seal(node)
    assert verify(node.database).sealed_to == 0

    clock.now += timedelta(milliseconds=1)
    seal(node)

    assert verify(node.database).sealed_to == 1


@pytest.mark.slow
def test_many_rows_do_not_wait(node: Node) -> None:
    with node.database.connection() as conn:
        conn.execute("ALTER TABLE access DISABLE TRIGGER access_stays")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: node.access.record(a_read(n, 1)), range(SEAL_ROWS_MAX)))

    seal(node)

    assert verify(node.database).sealed_to == SEAL_ROWS_MAX


def test_a_seal_is_a_fact_of_the_ledger_that_nobody_else_hears(node: Node) -> None:
    before = node.ledger.head
    filled(node, 5, 4)

    (first, second) = [e for e in node.ledger.since(before) if e.record.topic.startswith("access.")]
    assert (first.fact.first, first.fact.last) == (1, 2)
    assert (second.fact.first, second.fact.last) == (3, 4)
    assert first.fact.meta.audience == ()
    node.settle()


def test_what_a_crash_left_unsealed_is_sealed_at_the_next_start(node: Node, clock: Clock) -> None:
    filled(node, 12, 10)
    again = AccessBook(node.database)
    clock.now += timedelta(minutes=1)

    assert again.due(clock.now)
    batch = again.unsealed()

    assert batch is not None
    assert (batch.first, batch.last) == (11, 12)


def test_two_days_are_two_streams_and_one_chain(node: Node, clock: Clock) -> None:
    filled(node, 4, 4)
    clock.now += timedelta(days=1)
    node.access.record(a_read(9))
    seal(node, everything=True)

    found = verify(node.database)
    assert (found.rows, found.sealed_to, found.broken) == (5, 5, None)


# Tampering.

ALTERED = {
    "at": "at + interval '1 microsecond'",
    "account": "'wang'",
    "role": "'auditor'",
    "purpose": "'audit'",
    "act": "'print'",
    "what": "'trail'",
    "count": "count + 1",
    "whose": "sha256('x')",
    "subjects": "subjects || uuid_send(gen_random_uuid())",
    "fields": "ARRAY['name']",
    "request": "gen_random_uuid()",
    "outcome": "'not-found'",
    "root": "sha256('x')",
}


@pytest.mark.parametrize("number", [1, 15, 30])
@pytest.mark.parametrize("column", ALTERED)
def test_an_altered_row_is_found(sealed: Node, column: str, number: int) -> None:
    alter(sealed, f"UPDATE access SET {column} = {ALTERED[column]} WHERE number = %s", number)

    broken = look(sealed)
    assert broken is not None
    assert broken.number == number


@pytest.mark.parametrize("number", [1, 11, 20, 29])
def test_a_removed_row_is_found(sealed: Node, number: int) -> None:
    alter(sealed, "DELETE FROM access WHERE number = %s", number)

    broken = look(sealed)
    assert broken is not None
    assert broken.number in {number, 1}
    assert broken.because.startswith("removed")


def test_a_cut_off_tail_is_found(sealed: Node) -> None:
    alter(sealed, "DELETE FROM access WHERE number > 15")

    assert look(sealed) == Broken(16, "removed 缺少")


def test_rows_that_are_all_gone_are_found(sealed: Node) -> None:
    alter(sealed, "DELETE FROM access")

    assert look(sealed) == Broken(1, "removed 缺少")


@pytest.mark.parametrize("number", [0, 31])
def test_an_inserted_row_is_found(sealed: Node, number: int) -> None:
    alter(
        sealed,
        "INSERT INTO access SELECT %s, at, account, role, purpose, act, what, count, whose,"
        " subjects, fields, request, outcome, root FROM access WHERE number = 3",
        number,
    )

    broken = look(sealed)
    assert broken is not None
    assert broken.number == number


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM access_subject WHERE number = 11",
        "UPDATE access_subject SET subject = gen_random_uuid() WHERE number = 11",
        "INSERT INTO access_subject VALUES (gen_random_uuid(), 11)",
    ],
)
def test_an_index_that_hides_somebody_is_found(sealed: Node, statement: str) -> None:
    alter(sealed, statement)

    assert look(sealed) == Broken(11, "other persons 所涉人员被改动")


def test_a_chain_that_was_computed_anew_does_not_fit_its_seal(sealed: Node) -> None:
    """Whoever owns the database can write a whole chain; the ledger has sealed another."""
    rows = sealed.database.rows("SELECT count(*) AS n FROM access", {})[0]["n"]
    alter(sealed, "DELETE FROM access")
    forged = AccessBook(sealed.database)
    forged._head = (0, bytes(32))  # noqa: SLF001 - as the forger would.
    for n in range(1, rows + 1):
        forged.record(a_read(n, people=n % 4, account="nobody"))

    assert look(sealed) == Broken(1, "not as it was sealed 与台账存证不符")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_done_to_sealed_rows_is_found(sealed: Node, seed: int) -> None:
    r = random.Random(seed)
    one, other = r.sample(range(1, 21), 2)

    done: list[Callable[[], None]] = [
        lambda: alter(sealed, "DELETE FROM access WHERE number = %s", one),
        lambda: alter(
            sealed, "UPDATE access SET number = CASE number WHEN %s THEN -1 ELSE number END", one
        ),
        lambda: alter(
            sealed,
            "UPDATE access a SET account = b.account || '2', at = b.at FROM access b"
            " WHERE a.number = %s AND b.number = %s",
            one,
            other,
        ),
        lambda: alter(sealed, "DELETE FROM access WHERE number >= %s", one),
        lambda: alter(sealed, "DELETE FROM access WHERE number <= %s", one),
        lambda: alter(sealed, "UPDATE access SET fields = '{}' WHERE number = %s", one),
    ]
    r.choice(done)()

    assert look(sealed) is not None, f"seed {seed}"


# Keeping.


def test_the_table_itself_lets_nothing_young_go(node: Node) -> None:
    node.access.record(a_read(1, at=datetime.now(UTC) - timedelta(days=KEEP_MIN_DAYS - 1)))
    seal(node, everything=True)

    with node.database.connection() as conn:
        statements = [
            "DELETE FROM access",
            "UPDATE access SET account = 'x'",
            "DELETE FROM access_subject",
            "UPDATE access_subject SET number = 7",
        ]
        for statement in statements:
            with pytest.raises(psycopg.errors.RaiseException):
                conn.execute(statement)


def test_what_is_old_is_let_go_by_whole_seals_and_the_rest_holds(node: Node, clock: Clock) -> None:
    clock.now = datetime.now(UTC) - timedelta(days=2000)
    for n in range(5):
        node.access.record(a_read(n, at=clock.now))
    seal(node, everything=True)
    clock.now = datetime.now(UTC)
    node.access.record(a_read(9, at=clock.now))
    seal(node, everything=True)
    # By the ledger's own clock both seals are of today: nothing is old enough yet.
    forget(node)
    assert verify(node.database).rows == 6

    with node.database.connection() as conn:
        conn.execute(
            "UPDATE stored_events SET entered_at = now() - interval '2000 days'"
            " WHERE notification_id = (SELECT min(notification_id) FROM stored_events"
            " WHERE topic = 'access.recorded')"
        )
    forget(node)

    assert verify(node.database) == Verified(1, 6, None)
    node.access.record(a_read(10, at=clock.now))
    assert verify(node.database) == Verified(2, 6, None)
    (said,) = [e.fact for e in node.ledger.since(0) if e.record.topic == "access.forgotten"]
    assert said.last == 5


def test_what_the_ledger_does_not_say_was_let_go_was_taken(sealed: Node) -> None:
    alter(sealed, "DELETE FROM access WHERE number <= 10")

    assert look(sealed) == Broken(1, "removed 缺少")


def test_all_may_be_let_go(node: Node) -> None:
    node.access.record(a_read(1, at=datetime.now(UTC) - timedelta(days=400)))
    seal(node, everything=True)
    node.execute(ForgetReads(last=1))
    assert node.access.forget(1) == 1

    assert verify(node.database) == Verified(0, 1, None)
    AccessBook(node.database).record(a_read(2))
    assert verify(node.database) == Verified(1, 1, None)
