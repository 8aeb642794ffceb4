"""内存收件簿: sync/book_in.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.ledger import Beside
from domain.records import digest
from sync.book_in import EVIDENCE_MAX, AboutRows, InBook, Parked
from sync.envelope import REFUSED_MAX
from sync.errors import told
from sync.standing import START, Standing
from tests.support.memory.ledger import PARKED, behind_since, quarantine

Row = dict[str, Any]

_HIDDEN = {"state", "wire"}
_ABOUT = ("id", "peer", "stream", "topic", "reason", "at", "subject", "outflow")


class Received(InBook):
    """What one node receives."""

    def answer_in(self, peer: str) -> tuple[Standing, list[Row]]:
        first: dict[UUID, Row] = {}
        behind: dict[UUID, int] = {}
        for q in self._parked(peer):
            first.setdefault(q["stream"], q)
            behind[q["stream"]] = behind.get(q["stream"], -1) + 1
        found = [
            {
                **{name: q[name] for name in ("number", "reason", "evidence")},
                "behind": behind[stream],
                "stopped": len(first),
            }
            for stream, q in first.items()
        ]
        return self.standing_in(peer), found[:REFUSED_MAX]

    def standing_in(self, peer: str) -> Standing:
        row = self._database.lane_in.get(peer)
        return Standing(*row[:4]) if row else START

    def hear(self, peer: str, at: datetime, head: int, sent_at: datetime) -> None:
        known = self._database.lane_in.get(peer) or (START.number, START.root, at, 0, None, None)
        if known[4] is None or known[4] < sent_at:
            head = max(known[3], head)
            since = behind_since(known, known[0], head, at)
            self._database.lane_in[peer] = (*known[:2], at, head, sent_at, since)

    def behind(self) -> list[tuple[str, int, datetime]]:
        rows = self._database.lane_in.items()
        return [(peer, r[3] - r[0], r[5]) for peer, r in rows if r[5] is not None]

    def _open(self, peer: str | None = None) -> list[Row]:
        found = self._database.quarantine
        return [q for q in found if q["resolved_at"] is None and peer in {None, q["peer"]}]

    def _parked(self, peer: str | None = None) -> list[Row]:
        """Open, in lane order."""
        found = [q for q in self._open(peer) if q["stream"] is not None]
        return sorted(found, key=lambda q: q["number"])

    def stopped(self, peer: str, streams: Iterable[UUID]) -> set[UUID]:
        return {q["stream"] for q in self._open(peer)} & set(streams)

    def parked(self, peer: str) -> int:
        return len(self._parked(peer))

    def stopped_streams(self, peer: str) -> int:
        return len({q["stream"] for q in self._parked(peer)})

    def parked_from(self, first: int, limit: int) -> list[Parked]:
        rows = self._database.quarantine
        asked = rows[first - 1] if 0 < first <= len(rows) else None
        if asked is None or asked["resolved_at"] is not None or asked["stream"] is None:
            return []
        return [
            _entry(q)
            for q in self._parked(asked["peer"])
            if q["stream"] == asked["stream"] and q["number"] >= asked["number"]
        ][:limit]

    def parked_all(self, peer: str, limit: int) -> list[Parked]:
        return [_entry(q) for q in self._parked(peer)[:limit]]

    def about(self, model_topics: Sequence[str], ids: Mapping[str, Sequence[Any]]) -> AboutRows:
        stopped: dict[tuple[str, UUID], Row] = {}
        for q in self._parked():
            if q["topic"].startswith(tuple(model_topics)):
                stopped.setdefault((q["peer"], q["stream"]), q)
        asked = {name: set(map(str, values)) for name, values in ids.items()}
        found = [
            {name: _json(q[name]) for name in _ABOUT}
            for _, q in sorted(stopped.items())
            if str(q["outflow"]) in asked["outflows"]
            or str(q["subject"]) in asked["members"]
            or str(q["stream"]) in asked["streams"]
            or (q["topic"].startswith("policy.") and q["peer"] in asked["origins"])
        ]
        return AboutRows(len(stopped), found)

    def aside(self, peer: str, first: int, last: int) -> dict[int, str]:
        return {
            q["number"]: digest(_entry(q).record)
            for q in self._database.quarantine
            if q["peer"] == peer and q["number"] is not None and first <= q["number"] <= last
        }

    def refuse(self, row: Beside) -> None:
        peer, _, reason = row.values[:3]
        database = self._database
        database.refused[peer, reason] += 1
        alike = [q for q in database.quarantine if (q["peer"], q["reason"]) == (peer, reason)]
        if sum(q["stream"] is None for q in alike) < EVIDENCE_MAX:
            quarantine(database, *row.values)

    def quarantined(self, after: int, limit: int, peer: str | None = None) -> list[Row]:
        return [_shown(q) for q in self._open(peer) if q["id"] > after][:limit]

    def parked_place(self, stream: UUID, version: int) -> Row | None:
        place = (stream, version)
        found = (q for q in self._open() if (q["stream"], q["version"]) == place)
        return next(map(_shown, found), None)

    def quarantined_one(self, id_: int) -> Row | None:
        rows = self._database.quarantine
        if not 0 < id_ <= len(rows):
            return None
        one = rows[id_ - 1]
        mine = [q for q in self._parked(one["peer"]) if q["stream"] == one["stream"]]
        behind = sum(q["number"] > one["number"] for q in mine)
        return {**_shown(one), "resolved_at": one["resolved_at"], "behind": behind}

    def evidence(self, id_: int) -> tuple[str, bytes, int | None] | None:
        rows = self._database.quarantine
        if not 0 < id_ <= len(rows):
            return None
        asked = rows[id_ - 1]
        wire, number = asked["wire"], asked["number"]
        if number is not None:
            wired = [
                q
                for q in rows
                if q["peer"] == asked["peer"]
                and q["wire"]
                and (q["number"] or number + 1) <= number
            ]
            if wired:
                wire = max(wired, key=lambda q: q["number"])["wire"]
        return asked["peer"], wire, number

    def refused_counts(self) -> dict[tuple[str, str], int]:
        return dict(self._database.refused)


def _entry(q: Row) -> Parked:
    record = StoredEvent(q["stream"], q["version"], q["topic"], q["state"])
    return Parked(q["id"], q["peer"], q["number"], record)


def _shown(q: Row) -> Row:
    shown = {name: q[name] for name in ("id", *PARKED) if name not in _HIDDEN}
    return {**shown, "said": told(q["reason"], q["evidence"])}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value
