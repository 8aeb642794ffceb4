"""内存发件簿: sync/book_out.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from domain.values import DataClass, OrgCode
from sync.book_out import Numbered, OutBook, Told
from sync.book_withheld import Withheld, WithheldBook
from sync.envelope import LaneReceipt
from sync.standing import START, Outgoing, Standing


class Sent(OutBook, WithheldBook):
    """What one node sends."""

    def records(self, streams: Iterable[UUID]) -> dict[UUID, list[StoredEvent]]:
        recorder = self._database.recorder
        return {stream: list(recorder.select_events(stream)) for stream in streams}

    def bookmark(self) -> int:
        return int(self._database.relay["position"])

    def heads_out(self, peers: Sequence[str]) -> dict[str, Standing]:
        return {peer: self.head_out(peer) for peer in peers}

    def head_out(self, peer: str) -> Standing:
        numbered = self._database.lane_out.get(peer)
        return Standing(numbered[-1].number, numbered[-1].root.hex()) if numbered else START

    def heard(self, peers: Iterable[str], streams: Iterable[UUID]) -> dict[tuple[str, UUID], int]:
        facts, wanted = self._database.lane_facts, set(streams)
        return {(p, s): facts[p, s] for p in peers for s in wanted if (p, s) in facts}

    def granted(self, peers: Iterable[str], keys: Iterable[UUID]) -> set[tuple[str, UUID]]:
        grants, wanted = self._database.lane_grants, set(keys)
        return {(peer, key) for peer in peers for key in wanted if (peer, key) in grants}

    def number(  # noqa: PLR0913, PLR0917 - as there.
        self,
        entries: Sequence[Numbered],
        grants: Sequence[tuple[str, UUID, int]],
        before: int,
        position: int,
        at: datetime,
        withheld: Sequence[Withheld] = (),
    ) -> bool:
        database, now = self._database, datetime.now(UTC)
        if database.relay["position"] != before:
            return False
        facts = dict(database.lane_facts)
        heads = {entry.peer: self.head_out(entry.peer).number for entry in entries}
        for entry in entries:
            # As PostgreSQL's keys have it: a number once, a fact once on each lane. Versions of a
            # stream are numbered in order, so the last of them stands for all.
            taken = facts.get((entry.peer, entry.stream), 0) >= entry.version
            if taken or entry.number <= heads[entry.peer]:
                raise IntegrityError(f"numbered already: {entry}")
            facts[entry.peer, entry.stream] = entry.version
            heads[entry.peer] = entry.number
        if any((peer, key) in database.lane_grants for peer, key, _ in grants):
            raise IntegrityError("granted already")
        for entry in entries:
            database.lane_out[entry.peer].append(entry)
            database.lane_out_at[entry.peer].append(now)
        database.lane_facts = facts
        database.lane_grants |= {(peer, key): number for peer, key, number in grants}
        for peer, key, _ in grants:
            database.lane_withheld.pop((peer, key), None)
        for held in withheld:
            said = held.data_class, held.number
            database.lane_withheld.setdefault((held.peer, held.key), said)
        database.relay["position"] = position
        for peer, number in heads.items():
            database.timed(peer, "numbered", number, at)
        return True

    def hold_back(self, peer: str, keys: Sequence[tuple[UUID, DataClass]]) -> None:
        grants, told = self._database.lane_grants, self.acknowledged(peer).number
        for key, data_class in keys:
            if grants.get((peer, key), 0) > told:
                number = grants.pop((peer, key))
                self._database.lane_withheld.setdefault((peer, key), (data_class, number))

    def withheld(
        self, peer: str, classes: Collection[DataClass], after: tuple[int, UUID], limit: int
    ) -> list[tuple[UUID, int]]:
        rows = sorted(
            (number, key)
            for (to, key), (data_class, number) in self._database.lane_withheld.items()
            if to == peer
            and data_class in classes
            and (number, key) > after
            and (to, key) not in self._database.lane_grants
        )
        return [(key, number) for number, key in rows[:limit]]

    def withheld_counts(self) -> list[tuple[str, str, int]]:
        rows = self._database.lane_withheld.items()
        counts = Counter((peer, str(held[0])) for (peer, _), held in rows)
        return [(*key, count) for key, count in sorted(counts.items())]

    def page(self, peer: str, after: int, limit: int) -> tuple[str | None, list[Outgoing]]:
        recorder, keys = self._database.recorder, dict[int, list[UUID]]()
        for (to, key), number in self._database.lane_grants.items():
            if to == peer:
                keys.setdefault(number, []).append(key)
        found = [
            Outgoing(
                n.number,
                recorder.select_events(n.stream, gt=n.version - 1, limit=1)[0],
                n.root.hex(),
                tuple(sorted(keys.get(n.number, ()))),
            )
            for n in self._database.lane_out.get(peer, [])[after : after + limit]
        ]
        before = self.root_out(peer, after)
        return before, found if before is not None else []

    def root_out(self, peer: str, number: int) -> str | None:
        if number == 0:
            return START.root
        numbered = self._database.lane_out.get(peer, [])
        return numbered[number - 1].root.hex() if number <= len(numbered) else None

    def acknowledged(self, peer: str) -> Standing:
        row = self._database.lane_receipts.get(peer)
        return Standing(*row[:3]) if row else START

    def unaware(self, peers: Iterable[str], stream: UUID, version: int) -> set[str]:
        told = {
            peer
            for peer in self._database.lane_out
            if 0 < (self.number_of(peer, stream, version) or 0) <= self.acknowledged(peer).number
        }
        return set(peers) - told

    def waiting(self, peers: Iterable[str]) -> list[tuple[str, int, float]]:
        found, now = [], datetime.now(UTC)
        for peer in peers:
            head, told = self.head_out(peer).number, self.acknowledged(peer).number
            if told < head:
                age = now - self._database.lane_out_at[peer][told]
                found.append((peer, head - told, age.total_seconds()))
        return found

    def keep_receipt(self, receipt: LaneReceipt, heard_at: datetime, wire: bytes) -> None:
        peer, database = receipt.sender, self._database
        before = self.acknowledged(peer).number
        if receipt.number < before:
            return
        said = (receipt.number, receipt.root, receipt.at, wire, receipt.refused, receipt.stopped)
        database.lane_receipts[peer] = said
        if receipt.number > before:
            database.timed(peer, "receipt", receipt.number, heard_at, receipt.at)
        refused = {r.number: r for r in receipt.parked}
        for row in self._refused(peer):
            if row["number"] <= receipt.told_up_to and row["number"] not in refused:
                database.lane_refused[peer, row["number"]] = {**row, "resolved_at": heard_at}
        numbered = database.lane_out.get(peer, [])
        for number, each in refused.items():
            if 0 < number <= len(numbered):
                known = database.lane_refused.get((peer, number), {})
                database.lane_refused[peer, number] = {
                    "number": number,
                    "stream": numbered[number - 1].stream,
                    "version": numbered[number - 1].version,
                    **each.model_dump(include={"code", "said", "behind"}),
                    "told_at": known.get("told_at", heard_at),
                    "resolved_at": None,
                }

    def _refused(self, peer: str, *, also_resolved: bool = False) -> list[dict[str, Any]]:
        rows = sorted(self._database.lane_refused.items())
        mine = [row for (to, _), row in rows if to == peer]
        return [row for row in mine if also_resolved or row["resolved_at"] is None]

    def told(self, peer: str) -> Told:
        row = self._database.lane_receipts.get(peer)
        return Told(*row[4:], len(self._refused(peer))) if row else Told(None, None, 0)

    def number_of(self, peer: OrgCode, stream: UUID, version: int) -> int | None:
        numbered = self._database.lane_out.get(peer, ())
        return next((n.number for n in numbered if n[2:4] == (stream, version)), None)

    def refusal(self, peer: str, number: int) -> tuple[datetime, str] | None:
        numbered = self._database.lane_out.get(peer, ())[number - 1 : number]
        for row in self._refused(peer):
            if any(row["stream"] == n.stream and row["number"] <= number for n in numbered):
                return row["told_at"], row["said"]
        return None

    def refused(
        self, peer: str, after: int, limit: int, *, also_resolved: bool
    ) -> list[dict[str, Any]]:
        select = self._database.recorder.select_events
        rows = self._refused(peer, also_resolved=also_resolved)
        return [
            {**row, "topic": select(row["stream"], gt=row["version"] - 1, limit=1)[0].topic}
            for row in [row for row in rows if row["number"] > after][:limit]
        ]
