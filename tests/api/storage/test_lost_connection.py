"""连接中断: the ledger's lease is lost with its connection; it fails closed, then recovers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from api.node import Node
from api.storage.errors import DatabaseAway
from domain.commands import OpenUnit
from domain.ledger import OutcomeUnknown
from domain.unit import Unit
from tests.support.federation import Federation, federation
from tests.support.postgres import Database


@pytest.fixture
def made(database: Database) -> Iterator[Federation]:
    with federation(database.url, database.schema) as made:
        yield made
    with psycopg.connect(database.url, autocommit=True) as conn:
        for code in made.nodes:
            conn.execute(f"DROP SCHEMA {database.schema}_{code} CASCADE")


def cut(made: Federation, url: str) -> None:
    """Terminate the session that holds the origin's lease."""
    schema = made["jiuquan"].database.schema
    with psycopg.connect(url, autocommit=True) as conn:
        gone = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(%s, 0)",
            (schema,),
        ).fetchall()
    assert gone == [(True,)]


def read_and_be_cut(node: Node, url: str) -> None:
    """Read on a connection that is terminated in the middle."""
    with node.database.connection() as conn:
        mine = conn.execute("SELECT pg_backend_pid()").fetchone()
        with psycopg.connect(url, autocommit=True) as killer:
            killer.execute("SELECT pg_terminate_backend(%s)", mine)
        conn.execute("SELECT 1")


def test_a_reader_of_a_lost_database_is_told_so(made: Federation, database: Database) -> None:
    node = made["jiuquan"]

    with pytest.raises(DatabaseAway):
        read_and_be_cut(node, database.url)

    assert node.database.rows("SELECT 1 AS one", {}) == [{"one": 1}]


def test_a_command_without_its_commit_says_that_the_outcome_is_unknown(
    made: Federation, database: Database
) -> None:
    node = made["jiuquan"]
    cut(made, database.url)

    with pytest.raises(OutcomeUnknown):
        node.execute(OpenUnit(name="东沟村党支部"))

    receipt = node.execute(OpenUnit(name="东沟村党支部"))
    assert node.ledger.look_up(Unit, receipt.id).name == "东沟村党支部"
