"""算法组: a ledger keeps to the suite it was begun with, and a peer of another is not enrolled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.client import Client
from api.enrolment import BadCard, Enrolment, compared
from api.settings import BadSetting, Settings, suite_here
from api.storage import database as storage
from api.storage.recorder import GroupRecorder
from api.storage.tree import OtherSuite
from domain import suite
from domain.suite import SUITES, SuiteName
from sync.card import make_card, read_card
from tests.api.support import Site
from tests.support.federation import NOW
from tests.support.postgres import Database
from tests.support.stage import keys_of


@pytest.fixture
def other() -> Iterator[SuiteName]:
    """The suite this run does not use; it is chosen by the test."""
    before = suite.chosen().name
    yield "guomi" if before == "international" else "international"
    suite.choose(before)


def test_a_ledger_does_not_start_with_another_suite(database: Database, other: SuiteName) -> None:
    begun = suite.chosen().hash
    store = storage.Database(database.url, database.schema)
    try:
        for _ in range(2):
            GroupRecorder(store).close()
        suite.choose(other)

        with pytest.raises(OtherSuite) as refused:
            GroupRecorder(store)
    finally:
        store.close()

    assert refused.value.facts == {"begun": begun, "chosen": SUITES[other].hash}


def test_a_card_of_another_suite_is_refused_by_name(other: SuiteName) -> None:
    ours = suite.chosen().name
    suite.choose(other)
    wire = make_card(keys_of("chengdu"), "chengdu", "驻蓉", "http://127.0.0.1:8701", NOW)
    fingerprint = read_card(wire).fingerprint
    suite.choose(ours)

    with pytest.raises(BadCard) as refused:
        compared(Enrolment(card=wire.decode(), fingerprint=fingerprint))

    assert refused.value.facts["where"] == "algorithms"
    assert "算法组" in str(refused.value.facts["because"])


def test_a_suite_nobody_knows_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"code": "jiuquan", "name": "酒泉"}

    with pytest.raises(BadSetting, match="suite"):
        Settings.of({**said, "suite": "rot13"})
    monkeypatch.setenv("WAYSTATION_SUITE", "rot13")
    with pytest.raises(BadSetting, match="suite"):
        Settings.of(said)


def test_what_a_node_was_told_stands_in_its_file(tmp_path: Path, other: SuiteName) -> None:
    Settings.of({"code": "jiuquan", "name": "酒泉", "suite": other}).save(tmp_path)

    assert Settings.load(tmp_path).suite == other


def test_a_caller_is_told_the_fingerprint_and_need_not_know_the_suite(origin: Site) -> None:
    with closing(Client(origin.url)) as client:
        assert client.card()[1] == origin.card()[1]


def test_a_command_outside_a_node_takes_the_suite_of_its_environment(
    monkeypatch: pytest.MonkeyPatch, other: SuiteName
) -> None:
    monkeypatch.setenv("WAYSTATION_SUITE", other)
    assert suite_here() == other
    monkeypatch.delenv("WAYSTATION_SUITE")
    assert suite_here() == "international"
    monkeypatch.setenv("WAYSTATION_SUITE", "rot13")
    with pytest.raises(BadSetting, match="rot13"):
        suite_here()
