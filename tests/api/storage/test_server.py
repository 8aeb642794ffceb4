"""The embedded server starts, stops, recovers and never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.storage import programs
from api.storage.errors import DatabaseInUse, DatabaseNotShipped, DatabaseNotStarted
from api.storage.server import EmbeddedServer
from tests.support.postgres import Database, running_server

OWNER = """
import sys, time
from pathlib import Path
from api.storage.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, server.url, flush=True)
{then}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one server: pytest's own is closed to nobody, as whom root's server runs."""
    with tempfile.TemporaryDirectory(prefix="waystation-test-") as made:
        Path(made).chmod(0o711)
        yield Path(made) / "postgres"


@pytest.fixture(scope="module")
def seed() -> Iterator[Path]:
    """The files of a server that has run and kept nothing: to make them takes a second."""
    with running_server() as server:
        server.stop()
        yield server.folder


@pytest.fixture
def made(seed: Path, folder: Path) -> Path:
    """A folder with such files; who owns them is copied as well."""
    copy(seed, folder)
    return folder


def copy(seed: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(seed), str(to)], check=True)


def owner(folder: Path, then: str) -> tuple[subprocess.Popen[str], int, str]:
    """Start a process that owns a server on the folder, and learn the server's pid and url."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(then=then), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    return process, int(pid), url


def gone(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


def answered(url: str, query: str, within: float = 30.0) -> object:
    """As value, as soon as the server answers."""
    deadline = time.monotonic() + within
    while True:
        try:
            return value(url, query)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.slow
def test_it_keeps_what_was_stored(made: Path) -> None:
    with EmbeddedServer(made) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    with EmbeddedServer(made) as server:
        assert value(server.url, "SELECT number FROM kept") == 7


@pytest.mark.slow
def test_it_is_durable_checks_its_pages_and_knows_unicode(made: Path) -> None:
    with EmbeddedServer(made) as server, psycopg.connect(server.url) as connection:
        settings = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
        upper = connection.execute("SELECT upper('é')").fetchone()

    durable = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
    assert {settings[name] for name in durable} == {"on"}
    assert settings["server_encoding"] == "UTF8"
    assert upper == ("É",)


@pytest.mark.slow
def test_it_listens_on_a_private_unix_socket_and_nowhere_else(made: Path) -> None:
    with EmbeddedServer(made) as server:
        sockets = Path(str(value(server.url, "SHOW unix_socket_directories")))

        assert value(server.url, "SHOW listen_addresses") == ""
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


@pytest.mark.slow
def test_three_servers_run_side_by_side(seed: Path, folder: Path) -> None:
    servers = [EmbeddedServer(folder / name, durable=False) for name in ("a", "b", "c")]
    folder.mkdir(mode=0o711)
    for server in servers:
        copy(seed, server.folder)
    try:
        urls = [server.start() for server in servers]

        assert len(set(urls)) == 3
        assert [value(url, "SELECT 1") for url in urls] == [1, 1, 1]
        assert len({server.pid for server in servers}) == 3
    finally:
        for server in servers:
            server.stop()


@pytest.mark.slow
def test_starting_twice_and_stopping_twice_change_nothing(made: Path) -> None:
    server = EmbeddedServer(made, durable=False)
    assert server.start() == server.start()

    server.stop()
    server.stop()

    assert server.pid is None


@pytest.mark.slow
def test_a_second_owner_is_refused_and_told_the_pid(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.storage.server.GRACE_S", 0.1)
    with EmbeddedServer(made, durable=False) as server:
        with pytest.raises(DatabaseInUse) as refused:
            EmbeddedServer(made).start()

        assert refused.value.facts["pid"] == server.pid
        assert value(server.url, "SELECT 1") == 1


@pytest.mark.slow
def test_it_recovers_after_the_server_was_killed(made: Path) -> None:
    server = EmbeddedServer(made)
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert (server.home / "data" / "postmaster.pid").exists()

    with server:
        assert value(server.url, "SELECT number FROM kept") == 7


@pytest.mark.slow
def test_a_server_that_dies_under_its_owner_is_started_again_at_the_same_address(
    folder: Path,
) -> None:
    with EmbeddedServer(folder) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        url, first = server.url, server.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)

        assert answered(url, "SELECT number FROM kept") == 7
        assert server.pid != first
        assert server.url == url


@pytest.mark.slow
def test_a_server_that_cannot_start_again_is_tried_until_it_can(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        assert server.pid is not None
        control = folder / "data" / "global" / "pg_control"

        control.rename(control.with_name("away"))
        os.kill(server.pid, signal.SIGKILL)
        time.sleep(1.5)
        control.with_name("away").rename(control)

        assert answered(server.url, "SELECT 7") == 7


@pytest.mark.slow
def test_stopping_does_not_wait_for_a_server_that_cannot_start_again(folder: Path) -> None:
    server = EmbeddedServer(folder)
    server.start()
    assert server.pid is not None
    (folder / "data" / "global" / "pg_control").unlink()
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.5)

    began = time.monotonic()
    server.stop()

    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_left_pid_that_is_another_process_by_now_does_not_matter(folder: Path) -> None:
    with EmbeddedServer(folder, durable=False) as server:
        pid_file = server.home / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    lines[0] = str(os.getppid())
    pid_file.write_text("\n".join(lines))

    with server:
        assert value(server.url, "SELECT 1") == 1


@pytest.mark.slow
def test_a_killed_owner_takes_its_server_along(folder: Path) -> None:
    process, pid, url = owner(folder, "time.sleep(60)")
    with process:
        process.kill()

    assert gone(pid)
    with EmbeddedServer(folder, durable=False) as server:
        assert server.url != url


@pytest.mark.slow
def test_a_new_owner_may_start_the_moment_the_old_one_was_killed(folder: Path) -> None:
    process, _, _ = owner(folder, "time.sleep(60)")
    with process:
        process.kill()
        with EmbeddedServer(folder, durable=False) as server:
            assert value(server.url, "SELECT 1") == 1


@pytest.mark.slow
def test_an_owner_that_ends_without_a_word_stops_its_server(folder: Path) -> None:
    process, pid, _ = owner(folder, "sys.exit(0)")
    with process:
        assert process.wait(20) == 0

    assert gone(pid, within=1)


@pytest.mark.slow
def test_an_interrupted_first_start_leaves_no_half_of_a_database(folder: Path) -> None:
    (folder / "data.new" / "base").mkdir(parents=True)

    with EmbeddedServer(folder, durable=False) as server:
        assert value(server.url, "SELECT 1") == 1


@pytest.mark.slow
def test_a_folder_of_another_version_is_refused_with_the_log(made: Path) -> None:
    with EmbeddedServer(made, durable=False) as server:
        version = server.home / "data" / "PG_VERSION"
    version.write_text("12\n")

    with pytest.raises(DatabaseNotStarted, match="incompatible"):
        server.start()
    assert server.pid is None


@pytest.mark.slow
def test_a_very_long_folder_for_temporary_files_is_passed_over(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = made.parent / ("long" * 20)
    long.mkdir(mode=0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with EmbeddedServer(made, durable=False) as server:
        assert value(server.url, "SELECT 1") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root must give its server another account")
def test_below_a_folder_that_is_closed_to_nobody_roots_server_lives_elsewhere(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.chmod(0o700)
    server = EmbeddedServer(folder, durable=False)
    with server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert "nobody, who cannot enter" in caplog.text
    assert not server.home.is_relative_to(folder)

    with EmbeddedServer(folder, durable=False) as again:
        assert value(again.url, "SELECT number FROM kept") == 7

    again.erase()
    assert not folder.exists()
    assert not again.home.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root must give its server another account")
def test_a_database_elsewhere_that_is_gone_is_not_replaced_by_an_empty_one(folder: Path) -> None:
    folder.parent.chmod(0o700)
    with EmbeddedServer(folder) as server:
        home = server.home
    home.rename(home.with_suffix(".gone"))
    try:
        with pytest.raises(DatabaseNotStarted) as refused:
            EmbeddedServer(folder).start()
        assert refused.value.facts["lost"] == str(home)
    finally:
        home.with_suffix(".gone").rename(home)
        server.erase()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root must give its server another account")
def test_programs_below_a_folder_that_is_closed_to_nobody_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = programs.Programs().folder.parents[1]
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)
    for part in (package, package.with_suffix(".libs")):
        (closed / part.name).symlink_to(part)
    shipped = closed / package.name / f"pginstall{programs.MAJOR}" / "bin"
    monkeypatch.setattr(programs, "_shipped", lambda: shipped)
    monkeypatch.setattr(programs, "CACHE", folder.parent / "cache")

    with EmbeddedServer(folder, durable=False) as server:
        assert value(server.url, "SELECT 1") == 1

    assert len(list((folder.parent / "cache").iterdir())) == 1


@pytest.mark.slow
def test_without_the_wheel_the_refusal_names_the_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MAJOR", 99)

    with pytest.raises(DatabaseNotShipped, match="WAYSTATION_DATABASE_URL"):
        EmbeddedServer(folder).start()


@pytest.mark.slow
def test_every_test_gets_an_empty_schema(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE mine (number int)")
        row = connection.execute("SELECT current_schema()").fetchone()

    assert row == (database.schema,)


@pytest.mark.slow
def test_a_server_for_tests_leaves_no_folder() -> None:
    with running_server() as server:
        home = server.folder.parent
        assert home.exists()

    assert not home.exists()
