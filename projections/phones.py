"""电话索引: whose a telephone is or was, found by its keyed mark; no number stands in it."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import uuid5

from domain.aggregate import Fact
from domain.errors import BadPhone, Refusal
from domain.inflow import Inflow
from domain.member import Member
from domain.sealing import Keyring
from domain.values import Phone, telephone
from projections import tables
from projections.projection import Projection, Row, Rows, Table

FOUND_MAX = 100
"""Persons that one search for a telephone shows: some share that of their branch."""

KIND = "phone"

INDEX = Table(
    "phone_index",
    {
        "said": "uuid",
        "mark": "bytea",
        "mark_key": "text",
        "stream": "uuid",
        "version": "bigint",
        "subject": "uuid",
        "org": "text",
        "on_day": "date",
    },
    ("mark", "stream, version"),
    ("mark",),
)

# Of a person who came back to a telephone, the last time.
_FIND = """
    SELECT * FROM (
        SELECT DISTINCT ON (p.stream) p.stream, p.subject, p.org, p.on_day, NOT EXISTS (
            SELECT FROM phone_index n WHERE n.stream = p.stream AND n.version > p.version
        ) AS current
        FROM phone_index p WHERE p.mark = %(mark)s ORDER BY p.stream, p.version DESC
    ) found ORDER BY current DESC, on_day DESC, stream LIMIT %(limit)s
"""
_THERE = "SELECT to_regclass('phone_index') IS NOT NULL AS there"
_ANY = "SELECT mark_key FROM phone_index LIMIT 1"
COUNT = "SELECT count(*) AS n FROM phone_index"


class SearchKeyOther(Refusal):
    """检索密钥遗失，或不是建索引所用的那一个。The search key is lost, or another."""

    mend = (
        "请恢复 keys/search.key 的备份；确已遗失的：waystation keys reindex。"
        "Restore keys/search.key from its backup; if it is lost: waystation keys reindex."
    )


class Phones(Projection):
    """A row for every telephone that was ever recorded of somebody; erasure deletes them."""

    name: ClassVar[str] = "phones"
    topics: ClassVar[tuple[str, ...]] = (
        Member.Registered.TOPIC,
        Member.Received.TOPIC,
        Member.PhoneRecorded.TOPIC,
        Inflow.Found.TOPIC,
        Inflow.DetailsRecorded.TOPIC,
    )
    tables: ClassVar[tuple[Table, ...]] = (INDEX,)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One row a fact, which nothing changes."""
        if getattr(fact, KIND, None) is None or (phone := self._phone(fact)) is None:
            return
        rows[INDEX.name].put(
            uuid5(fact.originator_id, str(fact.originator_version)),
            mark=self.keyring.mark(KIND, phone),
            mark_key=self.keyring.mark_key,
            stream=fact.originator_id,
            version=fact.originator_version,
            subject=fact.meta.subject,
            org=fact.meta.keeper,
            on_day=fact.meta.occurred.on,
        )

    def _phone(self, fact: Fact) -> str | None:
        """As it is searched for; a peer may have sealed anything."""
        said = self.clear(fact, KIND)
        try:
            return telephone(said) if said else None
        except BadPhone:
            return None


def find(conn: Any, keyring: Keyring, phone: Phone) -> list[Row]:
    """Who has or had a telephone: those who have it first; one more than is shown, if there is."""
    asked = {"mark": keyring.mark(KIND, phone), "limit": FOUND_MAX + 1}
    return tables.ask(conn, _FIND, asked)


def must_fit(database: Any, keyring: Keyring) -> None:
    """Refuse a key that finds nothing in the index there is; any will do for one without rows.

    Raises:
        SearchKeyOther.
    """
    found = database.rows(_ANY, {}) if database.rows(_THERE, {})[0]["there"] else []
    if found and found[0]["mark_key"] != keyring.mark_key:
        raise SearchKeyOther(file="keys/search.key")
