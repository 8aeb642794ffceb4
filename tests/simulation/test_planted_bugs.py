"""对检查的检查: bugs that were put in on purpose, each found within a few hundred histories."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import Tracking

from api.node import CUSTODIAN, Node
from api.service import because_of
from domain import custodian
from domain.errors import Refusal
from domain.ledger import BATCH_MAX, Ledger
from domain.outflow import Outflow
from sync.envelope import Batch
from sync.inbox import Inbox, Outcome
from sync.numbering import Page
from sync.relay import Relay
from sync.standing import Standing
from tests.simulation.histories import FIRST, Failed, tell
from tests.support.stage import Stage

HISTORIES = 300

Plant = Callable[[pytest.MonkeyPatch], None]


class _Deceived:
    """A store that says the lane stands just before a batch."""

    def __init__(self, store: Any, batch: Batch) -> None:
        self._store, self._batch = store, batch

    def standing_in(self, _: str) -> Standing:
        return Standing(self._batch.first - 1, self._batch.before)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _deceive(monkeypatch: pytest.MonkeyPatch, when: Callable[[Batch, int], bool]) -> None:
    take = Inbox._take  # noqa: SLF001

    def taking(self: Any, batch: Batch, wire: bytes) -> Outcome:
        store = self._store
        if when(batch, store.standing_in(batch.sender).number):
            self._store = _Deceived(store, batch)
        try:
            return take(self, batch, wire)
        finally:
            self._store = store

    monkeypatch.setattr(Inbox, "_take", taking)


def no_dedupe(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes again is recorded again."""
    _deceive(monkeypatch, lambda batch, number: batch.first <= number)


def a_gap_is_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is not missed."""
    _deceive(monkeypatch, lambda batch, number: batch.first > number + 1)


def no_root_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another history is as good as the one agreed on."""
    monkeypatch.setattr("sync.inbox._must_agree", lambda *_: None)


def bookmark_before_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in between, and an acceptance is never answered."""

    def answering(self: Node) -> int:
        entries = self.ledger.since(self.recorder.max_tracking_id(CUSTODIAN) or 0, BATCH_MAX)
        if entries:
            self.recorder.insert_tracking(Tracking(CUSTODIAN, entries[-1].position))
        for entry in entries:
            command = custodian.answer(entry, self.ledger)
            if command is not None and entry.fact is not None:
                who = because_of(entry.fact.id, entry.fact.meta.correlation)
                try:
                    self.service.execute(command, who)
                except Refusal:
                    continue
        return len(entries)

    monkeypatch.setattr(Node, "answer_arrivals", answering)


def numbered_after_the_bookmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay moves on, falls over, and a peer never hears of it."""

    def numbering(self: Any) -> int:
        here = self._store.bookmark()
        entries = self._ledger.since(here, 500)
        if entries:
            there = entries[-1].position
            self._store.number([], [], here, there)
            page = Page(self._ledger, self._store, self.peers())
            page.take(entries)
            self._store.number(page.rows, page.grants, there, there)
        return len(entries)

    monkeypatch.setattr(Relay, "number", numbering)


def confirmed_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acceptance is confirmed, whether or not its offer still waits."""

    def confirming(outflow: Outflow, number: int, host: str, since: date, acceptance: str) -> None:
        made = outflow.offers.get(number)
        if made is not None and made.acceptance != acceptance:
            said = {"offer": number, "host": host, "since": since, "acceptance": acceptance}
            outflow.trigger(Outflow.Confirmed, **said)

    monkeypatch.setattr("domain.custody.confirm", confirming)


def grants_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts arrive, the keys to them do not."""
    monkeypatch.setattr(Page, "_grant", lambda *_: None)


def everything_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key travels, whatever was agreed."""

    def granting(self: Any, codes: list[str], wanted: list[tuple[str, UUID, int]]) -> None:
        granted = self._store.granted(codes, {key for _, key, _ in wanted}) if wanted else set()
        for peer, key, number in wanted:
            if (peer, key) not in granted:
                granted.add((peer, key))
                self.grants.append((peer, key, number))

    monkeypatch.setattr(Page, "_grant", granting)


def joined_without_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever joins an audience hears what is said from then on."""

    def passing(_: Any, __: list[str], hearings: list[Any]) -> Any:
        for peer, _stream, entry in hearings:
            yield peer, entry.record, entry.position

    monkeypatch.setattr(Page, "_passing", passing)


def memory_not_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a peer has changed is remembered as it was."""
    monkeypatch.setattr(Ledger, "forget", lambda *_: None)


BUGS: tuple[Plant, ...] = (
    no_dedupe,
    a_gap_is_applied,
    no_root_check,
    bookmark_before_effect,
    numbered_after_the_bookmark,
    confirmed_without_looking,
    grants_forgotten,
    everything_granted,
    joined_without_the_past,
    memory_not_refreshed,
)


@pytest.mark.simulation
@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    theatre: Stage, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    plant(monkeypatch)

    for told in range(HISTORIES):
        try:
            tell(theatre, FIRST + told)
        except Failed as failed:
            print(f"{plant.__name__}: history {told + 1}: {str(failed).splitlines()[0][:160]}")  # noqa: T201
            return
    pytest.fail(f"{plant.__name__} is not found in {HISTORIES} histories")
