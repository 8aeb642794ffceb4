"""Every read model: the same on both sides, in batches or one by one, and when rebuilt."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from domain.aggregate import Fact
from domain.ledger import Entry
from projections import store
from projections.projection import Rows
from projections.roster import Roster
from projections.store import RebuildUnderWay
from tests.projections.conftest import Pair, leave
from tests.support.people import LI_NUMBER
from tests.support.sides import MODELS, Side

TABLES = [table for model in MODELS for table in model.tables]
ELSEWHERE = {"history", "transfer_forwarded", "figure_step", "figure_sum"}
OF_CHAINS = {"affiliation_hears", "affiliation_onward", "affiliation_traced"}
"""Of histories that follow a member on; tests/federation/test_chain.py fills them."""
"""Compared below; and in tests/federation/test_transfer.py, because it takes a third party."""

OF_ONE_LEDGER = {"position", "entered_at"}


def contents(side: Side) -> dict[str, dict[Any, dict[str, Any]]]:
    return {table.name: side.table(table.name) for table in TABLES}


@pytest.mark.parametrize("table", [t.name for t in TABLES if t.name not in ELSEWHERE | OF_CHAINS])
def test_origin_and_host_have_the_same_rows_of_what_they_share(history: Pair, table: str) -> None:
    ours, theirs = history.origin.table(table), history.host.table(table)

    shared = ours.keys() & theirs.keys()

    assert shared == theirs.keys()
    assert {key: ours[key] for key in shared} == theirs
    assert theirs


def test_origin_and_host_tell_the_same_history_of_what_they_share(history: Pair) -> None:
    def told(side: Side) -> dict[tuple[UUID, int], dict[str, Any]]:
        return {
            (row["stream"], row["version"]): {
                name: value for name, value in row.items() if name not in OF_ONE_LEDGER
            }
            for row in side.table("history").values()
            if not row["topic"].startswith("organization.")
        }

    ours, theirs = told(history.origin), told(history.host)

    assert theirs.items() <= ours.items()
    assert len(theirs) > 30


def test_batches_and_single_entries_give_the_same_rows(
    history: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = history.origin
    at_once = contents(side)
    forget(side)
    monkeypatch.setattr(store, "BATCH_MAX", 1)

    side.new_projector()
    side.project()

    assert contents(side) == at_once


def test_reading_the_ledger_twice_changes_nothing(history: Pair) -> None:
    side = history.origin
    once = contents(side)
    with side.database.connection() as conn:
        conn.execute("UPDATE read_model SET position = 0")

    side.project()

    # The rows of one stream are passed through its whole history again, to the same end.
    assert contents(side) == once


def test_a_read_model_that_is_up_to_date_has_nothing_to_do(history: Pair) -> None:
    assert history.origin.projector.catch_up() == 0


@pytest.mark.parametrize("name", [model.name for model in MODELS])
def test_a_rebuilt_read_model_equals_the_live_one(history: Pair, name: str) -> None:
    side = history.origin
    before = contents(side)

    assert side.projector.rebuild(name) is True
    assert contents(side) == before


def test_a_read_model_is_rebuilt_while_the_ledger_grows(pair: Pair) -> None:
    leave(pair)
    pair.settle()
    leave(pair, LI_NUMBER)

    assert pair.origin.projector.rebuild("roster") is True

    assert len(pair.origin.table("roster_person")) == 2
    assert pair.origin.projector.position("roster") == pair.origin.ledger.head
    pair.origin.project()


def test_a_rebuild_says_when_the_rows_differ(history: Pair) -> None:
    side = history.origin
    with side.database.connection() as conn:
        conn.execute("UPDATE roster_flow SET destination = '别处'")

    assert side.projector.rebuild("roster") is False
    assert side.projector.rebuild("roster") is True


def test_a_rebuild_survives_other_columns(history: Pair) -> None:
    """As after an upgrade."""
    side = history.origin
    before = contents(side)
    with side.database.connection() as conn:
        conn.execute("ALTER TABLE roster_flow DROP COLUMN scope")

    assert side.projector.rebuild("roster") is False
    assert contents(side) == before


def test_what_a_broken_off_rebuild_left_is_cleared_away(history: Pair) -> None:
    side = history.origin
    with side.database.connection() as conn:
        conn.execute("CREATE TABLE roster_flow__next (outflow uuid)")
        conn.execute("INSERT INTO read_model VALUES ('roster__next', 3)")

    assert side.projector.rebuild("roster") is True
    assert side.rows("SELECT name FROM read_model WHERE name LIKE '%%next'") == []


def test_a_read_model_is_rebuilt_by_one_at_a_time(history: Pair) -> None:
    side = history.origin
    with side.database.connect() as other:
        query = "SELECT pg_advisory_lock(hashtextextended(current_schema() || 'rebuild:roster', 0))"
        other.execute(query)
        with pytest.raises(RebuildUnderWay) as refused:
            side.projector.rebuild("roster")
        other.execute("SELECT pg_advisory_unlock_all()")

    assert refused.value.facts == {"model": "roster"}
    assert side.projector.rebuild("roster") is True


def test_a_rebuild_waits_for_a_question_and_holds_no_table_meanwhile(history: Pair) -> None:
    """Which table a question reads first is the planner's affair."""
    side, last = history.origin, Roster.tables[-1].name
    with ThreadPoolExecutor(1) as pool, side.database.connect() as other:
        with other.transaction():
            other.execute(f"SELECT count(*) FROM {last}")
            rebuilding = pool.submit(side.projector.rebuild, "roster")
            time.sleep(0.3)
            other.execute("SET LOCAL lock_timeout = '200ms'")
            other.execute("SELECT count(*) FROM roster_person")
            assert not rebuilding.done()

        assert rebuilding.result(timeout=10) is True


def forget(side: Side) -> None:
    """Every read model, gone."""
    with side.database.connection() as conn:
        for table in TABLES:
            conn.execute(f"DROP TABLE {table.name}")
        conn.execute("DELETE FROM read_model")


# Stopped.


def test_a_read_model_that_fails_stops_alone_and_says_why(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    side = pair.origin
    projector = side.projector

    def fail(fact: Fact, rows: dict[str, Rows]) -> None:
        rows["roster_person"].put(fact.originator_id, keeper="half written")
        raise ValueError("cannot read this")

    monkeypatch.setattr(projector.projections["roster"], "project", fail)
    leave(pair)

    with caplog.at_level(logging.ERROR):
        while projector.catch_up():
            pass

    assert projector.stopped == {"roster": "ValueError: cannot read this"}
    assert side.table("roster_person") == {}
    held = projector.held_by["roster"]
    assert held.record.topic == "member.registered"
    assert projector.position("roster") == held.position - 1
    assert projector.position("custody") == side.ledger.head
    assert [record.message for record in caplog.records] == ["Read model roster has stopped"]


def test_a_read_model_goes_on_when_its_fault_is_mended(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = pair.origin
    leave(pair)
    with monkeypatch.context() as broken:
        broken.setattr(store, "BATCH_MAX", "nonsense")
        side.projector.catch_up()
    assert set(side.projector.stopped) == {model.name for model in MODELS}

    side.project()

    assert side.projector.stopped == {}
    assert len(side.table("roster_person")) == 1


def test_what_precedes_the_fact_that_stops_a_read_model_is_shown(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = pair.origin
    leave(pair)
    leave(pair, LI_NUMBER)
    roster = side.projector.projections["roster"]
    project, seen = roster.project, list[UUID]()

    def fail_at_the_second(fact: Fact, rows: dict[str, Rows]) -> None:
        if fact.TOPIC == "member.registered" and fact.originator_id not in seen[:1]:
            seen.append(fact.originator_id)
            if len(seen) > 1:
                raise ValueError("cannot read this")
        project(fact, rows)

    monkeypatch.setattr(roster, "project", fail_at_the_second)
    while side.projector.catch_up():
        pass

    assert list(side.table("roster_person")) == seen[:1]
    assert side.projector.held_by["roster"].record.originator_id in seen[1:]


def test_rows_and_bookmark_move_together(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    side = pair.origin
    leave(pair)
    custody = side.projector.projections["custody"]
    apply = custody.apply

    def apply_and_fail(entries: Sequence[Entry], rows: dict[str, Rows]) -> None:
        apply(entries, rows)
        rows["custody_flow"].put(UUID(int=0), until="no moment")

    monkeypatch.setattr(custody, "apply", apply_and_fail)
    side.projector.catch_up()

    assert side.table("custody_flow") == {}
    held = side.projector.held_by["custody"]
    assert held.record.topic.startswith("outflow.")
    assert side.projector.position("custody") == held.position - 1
    assert set(side.projector.stopped) == {"custody"}
