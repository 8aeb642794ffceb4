"""查阅之问: what an account has read, who has read a person's data, and which peers received it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from api.access.readings import READINGS
from api.access.words import ACTS, CLASSES, KINDS, PURPOSES, named
from api.node import Node
from api.storage.read import persons
from domain.aggregate import CIVIL_ZONE
from domain.values import DataClass

Row = dict[str, Any]

SUBJECTS_SHOWN_MAX = 20
"""Persons named on one row; of more only number and digest are shown."""

_COLUMNS = """
    SELECT number, at, account, role, purpose, act, what, count, encode(whose, 'hex') AS whose,
        CASE WHEN count <= %(shown)s THEN subjects ELSE '' END AS subjects, fields, request,
        outcome
"""
_LOG = f"""
    {_COLUMNS} FROM access
    WHERE (%(after)s::bigint IS NULL OR number < %(after)s)
      AND (%(account)s::text IS NULL OR account = %(account)s)
      AND (%(act)s::text IS NULL OR act = %(act)s)
      AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
    ORDER BY number DESC LIMIT %(limit)s
"""
"""Newest first, on to older numbers: what is added meanwhile, also by asking, moves no page."""

_OF = f"""
    WITH about AS (
        SELECT number FROM access_subject WHERE subject = ANY(%(ids)s::uuid[])
        UNION
        SELECT number FROM access WHERE number > %(sealed)s AND EXISTS (
            SELECT FROM unnest(%(ids)s::uuid[]) AS id WHERE position(uuid_send(id) IN subjects) > 0
        )
    )
    {_COLUMNS} FROM access JOIN about USING (number)
    WHERE %(after)s::bigint IS NULL OR number < %(after)s
    ORDER BY number DESC LIMIT %(limit)s
"""  # noqa: S608 - a constant.

_IDS = """
    WITH file AS (
        SELECT member, person FROM affiliation WHERE member = %(id)s OR person IN (
            SELECT person FROM affiliation WHERE member = %(id)s OR person = %(id)s
        )
    )
    SELECT member AS id FROM file UNION SELECT person FROM file WHERE person IS NOT NULL
    UNION SELECT h.subject FROM history h JOIN roster_flow f ON f.outflow = h.outflow
        WHERE h.subject IS NOT NULL AND (f.member = %(id)s OR f.member IN (SELECT member FROM file))
"""
"""All that one person is called here: his files, himself, and what a host called him first."""

# Each peer's own index is used: a stream or a key is looked up beside its peer.
_RECEIVED = """
    SELECT p.peer, min(o.at) AS since, max(o.at) AS newest, count(*) AS facts,
        count(*) FILTER (WHERE o.number <= r.number) AS confirmed,
        array_agg(DISTINCT split_part(h.topic, '.', 1)) AS kinds
    FROM history h CROSS JOIN unnest(%(peers)s::text[]) AS p (peer)
    JOIN lane_out o ON o.peer = p.peer AND o.stream = h.stream AND o.version = h.version
    LEFT JOIN lane_receipt r ON r.peer = p.peer
    WHERE h.subject = ANY(%(ids)s::uuid[]) GROUP BY p.peer ORDER BY since, p.peer
"""
_CLASSES = """
    SELECT g.peer, k.data_class AS class, min(o.at) AS since
    FROM subject_key k CROSS JOIN unnest(%(peers)s::text[]) AS p (peer)
    JOIN lane_grant g ON g.peer = p.peer AND g.key = k.id
    LEFT JOIN lane_out o ON o.peer = g.peer AND o.number = g.number
    WHERE k.subject = ANY(%(ids)s::uuid[]) GROUP BY g.peer, k.data_class ORDER BY since, class
"""
_PEERS = "SELECT DISTINCT peer FROM lane_receipt"


class Inquiry:
    """Asks one node's records of reads, and its lanes."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def log(self, limit: int, cursor: int | None, **narrowed: Any) -> dict[str, Any]:
        """What was viewed, exported, printed: by account, act and time; a page, newest first."""
        asked = {**narrowed, "after": cursor, "limit": limit, "shown": SUBJECTS_SHOWN_MAX}
        return self._page(_LOG, asked)

    def _page(self, query: str, asked: dict[str, Any]) -> dict[str, Any]:
        rows = self._node.database.rows(query, asked)
        for row in rows:
            row["subjects"] = persons(row["subjects"])
        more = len(rows) == asked["limit"]
        return {"items": rows, "next": rows[-1]["number"] if more else None}

    def seen(self, member: UUID, limit: int, cursor: int | None) -> dict[str, Any]:
        """Who has read a person's data, a page, and every organization that received some."""
        ids = self._called(member)
        sealed = self._node.access.sealed_to()
        asked = {"ids": ids, "sealed": sealed, "after": cursor, "limit": limit, "shown": 0}
        page = self._page(_OF, asked)
        for row in page["items"]:
            del row["subjects"]  # The others of a list are nobody's business here.
        return {"member": member, **page, "received": self._received(ids)}

    def who_saw(self, member: UUID, limit: int, cursor: int | None) -> dict[str, Any]:
        """As seen, in the words of the person whose data it is."""
        found = self.seen(member, limit, cursor)
        name = self._node.settings.name
        return {
            "member": member,
            "seen": [told(row, name) for row in found["items"]],
            "received": [{"sentence": _given(each), **each} for each in found["received"]],
            "next": found["next"],
        }

    def _called(self, member: UUID) -> list[UUID]:
        rows = self._node.database.rows(_IDS, {"id": member})
        return [*{member, *(row["id"] for row in rows)}]

    def _received(self, ids: Sequence[UUID]) -> list[Row]:
        known = self._node.relay.peers()
        database = self._node.database
        peers = [*{*known, *(row["peer"] for row in database.rows(_PEERS, {}))}]
        asked = {"ids": ids, "peers": peers}
        received = database.rows(_RECEIVED, asked)
        classes: dict[str, list[Row]] = {row["peer"]: [] for row in received}
        for row in database.rows(_CLASSES, asked):
            classes[row.pop("peer")].append(row)
        for row in received:
            peer = known.get(row["peer"])
            row["name"] = peer.name if peer else row["peer"]
            row["classes"] = classes[row["peer"]]
        return received


def told(row: Row, name: str) -> Row:
    """One read, as it is told to whom it was about."""
    at = row["at"].astimezone(CIVIL_ZONE)
    reading = READINGS.get(row["what"])
    what = reading.says if reading else row["what"]
    act, purpose = ACTS.get(row["act"], row["act"]), PURPOSES.get(row["purpose"], row["purpose"])
    others = f"（同时另有 {row['count'] - 1} 人）" if row["count"] > 1 else ""
    sentence = (
        f"{at:%Y年%-m月%-d日 %H:%M}，{name}的{row['account']}因“{purpose}”{act}了"
        f"“{what}”中您的{named(row['fields'])}{others}。"
    )
    return {
        "at": row["at"],
        "who": row["account"],
        "role": row["role"],
        "did": act,
        "what": what,
        "fields": row["fields"],
        "purpose": purpose,
        "sentence": sentence,
    }


def _given(row: Row) -> str:
    since = row["since"].astimezone(CIVIL_ZONE)
    classes = _listed(CLASSES[DataClass(each["class"])] for each in row["classes"])
    opened = f"可以看到您的{classes}" if classes else "看不到您的个人字段"
    kinds = _listed(KINDS.get(kind, "办理记录") for kind in row["kinds"])
    return (
        f"{since:%Y年%-m月%-d日}起，{row['name']}收到您的{kinds}，共 {row['facts']} 条，"
        f"已确认 {row['confirmed']} 条；{opened}。"
    )


def _listed(words: Iterable[str]) -> str:
    return "、".join(dict.fromkeys(words))
