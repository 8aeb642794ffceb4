"""The servers that tests ask for by name: `database` (PostgreSQL), `broker` (Apache Kafka)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from api.settings import SUITE
from api.storage.server import EmbeddedServer
from domain import suite
from tests.support.java import lacking
from tests.support.postgres import Database, empty_schema, running_server, until_closed

if TYPE_CHECKING:
    from tests.support.broker import Broker

# `make test SUITE=guomi`: everything once more, by other algorithms.
suite.choose(suite.SUITES[os.environ.get(SUITE, "international")].name)

# Set by `make test`, which is asked for everything: what cannot run there must not look green.
REQUIRED = os.environ.get("WAYSTATION_REQUIRE_LIVE") == "1"


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    """One server a worker, without fsync: no test of ours survives a crash of the machine.

    It takes a hundred sessions: whoever opens one closes it, be the test green or red.
    """
    with running_server() as server:
        yield server
        assert until_closed(server.url, set()) == []


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[Database]:
    """An empty schema of its own for every test."""
    with empty_schema(postgres.url) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker a worker, shared by its tests: name topics apart, and leave it running."""
    from tests.support.broker import running_broker  # noqa: PLC0415 - few need a Kafka client.

    with running_broker() as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs a broker where none can run, saying what is missing."""
    for item in items:
        # A file's tests share its fixtures and so a worker; histories share nothing, and are many.
        if not item.get_closest_marker("simulation"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    live = [item for item in items if item.get_closest_marker("live")]
    reason = lacking() if live else None
    if reason is not None:
        for item in live:
            item.add_marker(pytest.mark.skip(reason=reason))


def left_out(config: pytest.Config) -> str | None:
    """One sentence on the live tests that did not run, also when xdist's workers left them out."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skipped = [] if reporter is None else reporter.stats.get("skipped", [])
    live = [r for r in skipped if "live" in r.keywords or "torture" in r.keywords]
    if not live:
        return None
    reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in live})
    return f"{len(live)} live tests were left out: {'; '.join(reasons)}"


def figures(config: pytest.Config) -> list[str]:
    """What the rounds of torture have counted and measured, also by xdist's workers."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    passed = [] if reporter is None else reporter.stats.get("passed", [])
    return [line for report in passed for name, line in report.user_properties if name == "torture"]


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Say it where it is read: below the results."""
    for line in figures(config):
        config.pluginmanager.get_plugin("terminalreporter").write_line(line)
    sentence = left_out(config)
    if sentence is not None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(sentence, red=REQUIRED, yellow=not REQUIRED)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that was asked for everything."""
    if REQUIRED and session.exitstatus == pytest.ExitCode.OK and left_out(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
