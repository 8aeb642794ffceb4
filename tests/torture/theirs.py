"""运营者的数据库: a PostgreSQL that no node owns, stopped and started by its operator."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from api.storage.programs import Programs
from tests.api.support import free_port


class Theirs:
    """A server on a port of loopback; each node has a database of its own in it."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._data, self._port = Programs(), folder / "data", free_port()
        self._folder = folder
        self._programs.hand_over(folder)
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--auth=trust",
            "--no-sync",
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def create(self, database: str) -> str:
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def start(self) -> None:
        options = f"-p {self._port} -h 127.0.0.1 -k {self._folder}"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-o", options, "-l", log)

    def stop(self, how: str) -> None:
        """How: `fast` breaks connections off in order, `immediate` as a crash does."""
        self._run("pg_ctl", "stop", "-w", "-m", how, "-D", str(self._data))

    def _run(self, *words: str) -> None:
        made: subprocess.CompletedProcess[str] = self._programs.run(*words)
        assert made.returncode == 0, made.stdout


@contextmanager
def their_server() -> Iterator[Theirs]:
    """Running, in a temporary folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="waystation-theirs-"))
    folder.chmod(0o711)
    server = Theirs(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)
