"""内存行程簿: sync/book_hops.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sync import book_hops
from sync.book_hops import Hop, HopBook, InStep, Passed
from sync.standing import START


class Hops(HopBook):
    """When what of one node's lanes passed which hop."""

    def passed(self, peer: str, number: int) -> dict[Hop, Passed]:
        found: dict[Hop, Passed] = {}
        for (lane, hop), times in self._database.lane_time.items():
            later = [n for n in times if n >= number]
            if lane == peer and later:
                found[hop] = Passed(min(later), *times[min(later)])
        return found

    def oldest_hops(self, peer: str) -> dict[Hop, int]:
        rows = self._database.lane_time.items()
        return {hop: min(times) for (lane, hop), times in rows if lane == peer}

    def keep_sent(self, rows: Sequence[tuple[str, int, datetime, str]]) -> None:
        for peer, number, at, way in rows:
            self._database.lane_time[peer, "sent"][number] = (at, way)

    def forget_hops(self) -> int:
        gone = 0
        for (_, hop), times in self._database.lane_time.items():
            old = sorted(times)[: -book_hops.HOPS_MAX]
            if hop == "receipt":
                last = {
                    at.replace(minute=0, second=0, microsecond=0): number
                    for number, (at, _) in sorted(times.items())
                }
                old = [number for number in old if number not in last.values()]
            gone += len(old)
            for number in old:
                del times[number]
        return gone

    def prove_step(self, peer: str, at: datetime) -> None:
        database = self._database
        told, heard = database.lane_receipts.get(peer), database.lane_in.get(peer)
        numbered, refused = database.lane_out.get(peer), database.lane_refused.items()
        if told is None or heard is None or heard[0] < heard[3]:
            return
        if told[0] != (numbered[-1].number if numbered else START.number):
            return
        if any(to == peer and r["resolved_at"] is None for (to, _), r in refused):
            return
        aside = (q for q in database.quarantine if q["peer"] == peer and q["stream"] is not None)
        if all(q["resolved_at"] is not None for q in aside):
            database.lane_step[peer] = InStep(at, told[0], heard[0])

    def in_step(self, peer: str) -> InStep | None:
        found: InStep | None = self._database.lane_step.get(peer)
        return found
