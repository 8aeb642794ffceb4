"""内存文件归还簿: sync/book_given.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sync.book_given import AskedByFile, Given, GivenBook


class GivenBack(GivenBook):
    """What of one node's lanes is given back as files."""

    def asked_by_file(self, peer: str) -> AskedByFile | None:
        return self._database.bundle_ask.get(peer)  # type: ignore[no-any-return]

    def keep_ask(self, peer: str, asked: AskedByFile) -> None:
        self._database.bundle_ask[peer] = asked

    def forget_ask(self, peer: str, before: datetime) -> None:
        known = self.asked_by_file(peer)
        if known is not None and known.at < before:
            del self._database.bundle_ask[peer]

    def keep_given(self, peer: str, given: Iterable[Given]) -> None:
        for kind, first, wire in given:
            self._database.lane_given[peer, kind, first] = wire

    def given(self, peer: str, kind: str, first: int) -> bytes | None:
        return self._database.lane_given.get((peer, kind, first))  # type: ignore[no-any-return]

    def given_by(self) -> list[str]:
        return sorted({peer for peer, _, _ in self._database.lane_given})
