"""数据库: one in which a node could not keep what it is told is refused before anything is."""

from __future__ import annotations

import psycopg
import pytest

from api.storage import database as database_module
from api.storage.database import Database
from api.storage.errors import DatabaseUnfit
from tests.support.postgres import Database as Schema


def version(database: Schema) -> int:
    with database.connect() as conn:
        return conn.info.server_version


def test_so_old_a_server_will_do(database: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "OLDEST", version(database))

    Database(database.url, database.schema).close()


def test_an_older_server_is_refused_with_both_versions(
    database: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "OLDEST", version(database) + 10_000)

    with pytest.raises(DatabaseUnfit) as refused:
        Database(database.url, database.schema)

    here = version(database) // 10_000
    assert refused.value.facts == {"version": here, "oldest": here + 1}


def test_a_database_of_another_encoding_is_refused_and_left_as_it_is(database: Schema) -> None:
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute(
            "CREATE DATABASE unfit TEMPLATE template0 ENCODING 'SQL_ASCII'"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
        try:
            url = database.url.replace("/postgres?", "/unfit?")
            with pytest.raises(DatabaseUnfit) as refused:
                Database(url, "waystation")
            with psycopg.connect(url) as conn:
                made = conn.execute("SELECT to_regnamespace('waystation')").fetchone()
        finally:
            owner.execute("DROP DATABASE unfit WITH (FORCE)")

    assert refused.value.facts == {"encoding": "SQL_ASCII", "needed": "UTF8"}
    assert made == (None,)
