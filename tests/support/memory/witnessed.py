"""内存见证簿: sync/book_witness.py's methods over containers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sync.book_witness import CONTRADICTIONS_MAX, Contradiction, Rumour, Seen, WitnessBook
from sync.fence import FenceBook, Raised, Wish


class Witnessed(WitnessBook, FenceBook):
    """What one node knows of ledgers."""

    def witnessed(self, org: str) -> Seen | None:
        found = [seen for seen in self._database.log_witnessed.values() if seen.org == org]
        return max(found, key=lambda seen: seen[1:3], default=None)

    def witnessed_at(self, org: str, epoch: int, size: int) -> Seen | None:
        return self._database.log_witnessed.get((org, epoch, size))

    def all_witnessed(self, orgs: Iterable[str]) -> list[Seen]:
        return [seen for seen in map(self.witnessed, sorted(orgs)) if seen is not None]

    def witness(self, seen: Seen) -> None:
        self._database.log_witnessed.setdefault(seen[:3], seen)

    def rumours(self, org: str) -> list[Rumour]:
        found = [each for (of, _), each in self._database.log_rumours.items() if of == org]
        return sorted(found, key=lambda each: (*each.seen[1:3], each.via))

    def hear_rumour(self, rumour: Rumour) -> None:
        self._database.log_rumours.setdefault((rumour.seen.org, rumour.via), rumour)

    def settle_rumour(self, rumour: Rumour) -> None:
        self._database.log_rumours.pop((rumour.seen.org, rumour.via), None)

    def keep_contradiction(self, org: str, kind: str, at: datetime, file: bytes) -> bool:
        kept = self._database.log_contradictions
        known = [each for each in kept if each.org == org]
        if len(known) >= CONTRADICTIONS_MAX or any(e[2] == kind and e[4] == file for e in known):
            return False
        kept.append(Contradiction(len(kept) + 1, org, kind, at, file))
        return True

    def contradictions(self) -> list[Contradiction]:
        return list(self._database.log_contradictions)

    def accused(self) -> set[str]:
        return {each.org for each in self._database.log_contradictions}

    def keep_cosignatures(
        self, epoch: int, size: int, lines: Iterable[tuple[str, str]], at: datetime
    ) -> None:
        for witness, line in lines:
            self._database.log_cosigned.setdefault((epoch, size, line), (witness, at))

    def cosignatures(self, epoch: int, size: int) -> list[str]:
        rows = self._database.log_cosigned.items()
        found = [(at, line) for (e, s, line), (_, at) in rows if (e, s) == (epoch, size)]
        return [line for _, line in sorted(found)]

    def cosigned(self, witness: str | None = None) -> tuple[int, int]:
        rows = self._database.log_cosigned.items()
        found = [(e, s) for (e, s, _), (who, _) in rows if witness in {None, who}]
        return max(found, default=(0, 0))

    def fence(self) -> Raised | None:
        found: Raised | None = self._database.log_fence.get("fence")
        return found

    def raise_fence(self, raised: Raised) -> None:
        self._database.log_fence.setdefault("fence", raised)

    def wish(self) -> Wish | None:
        found: Wish | None = self._database.log_fence.get("wish")
        return found

    def keep_wish(self, wish: Wish) -> None:
        if "fence" in self._database.log_fence:
            self._database.log_fence["wish"] = wish

    def lower_fence(self) -> None:
        self._database.log_fence.clear()
