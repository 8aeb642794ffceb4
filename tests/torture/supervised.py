"""看护: a node in a process of its own, started again whenever it ends, as a supervisor would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import httpx
import psycopg

from api.settings import DATABASE_URL, Settings
from api.storage.programs import serves
from api.storage.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
PAUSE_S = 0.1
"""Between the end of a process and its next start; systemd's default."""

# libfaketime takes the monotonic end of a sleep for a time of day, and refuses it.
SLEEPS = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
from api.cli import main
main()
"""

STOP_S = 60.0
UP_S = 90.0
LOG_TAIL = 4000


def until(what: Callable[[], Any], seconds: float, otherwise: Callable[[], object] = str) -> None:
    """Wait for something to hold, for so long at most."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {otherwise()}"
        time.sleep(0.05)


class Supervised:
    """One organization's node; nobody's hand but the supervisor's touches it."""

    def __init__(self, home: Path, settings: dict[str, Any], around: dict[str, str]) -> None:
        self.home, self.code = home, str(settings["code"])
        self.settings = Settings.of(settings)
        self.settings.save(home)
        inherited = {n: v for n, v in os.environ.items() if n != DATABASE_URL}
        self.environment = inherited | around
        self.url = self.settings.address
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock, self._stop = Lock(), Event()
        self._thread = Thread(target=self._supervise, daemon=True)
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    def start(self) -> None:
        """Begin, without waiting."""
        self._thread.start()

    def _supervise(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                process = self._launch()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
            self._stop.wait(PAUSE_S)

    def _launch(self) -> subprocess.Popen[bytes]:
        program = ["-c", SLEEPS] if "LD_PRELOAD" in self.environment else ["-m", "api.cli"]
        command = [sys.executable, *program, "serve", "--home", str(self.home)]
        with self.log.open("ab") as log:
            # Its standard input ends with the test run, however that dies; then it ends as well.
            self._process = subprocess.Popen(
                [*command, "--while-stdin"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        return self._process

    def stop(self) -> None:
        """For good, in order; then nothing of it is left."""
        self._stop.set()
        if self._thread.is_alive():
            with self._lock:
                assert self._process is not None
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
            self._thread.join(STOP_S)
        self.http.close()
        if (self.home / "postgres").exists():
            EmbeddedServer(self.home / "postgres").erase()

    # What may happen to it.

    def kill(self) -> None:
        """Kill -9 of the process: interface, worker and recorder at once."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def kill_database(self) -> bool:
        """Kill -9 of its PostgreSQL's first process; whether there was one to kill."""
        pid = self.database_pid()
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def database_pid(self) -> int | None:
        """Its PostgreSQL's process, if it runs: never another that has the number by now."""
        facts = self._postmaster()
        running = facts and serves(int(facts[0]), self.data)
        return int(facts[0]) if running else None

    # What can be asked.

    @property
    def log(self) -> Path:
        return self.home / "node.log"

    @property
    def data(self) -> Path:
        """Where its database's files lie."""
        return (self.home / "postgres" / "data").resolve()

    def _postmaster(self) -> list[str]:
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return lines if lines and lines[0].strip().isdigit() else []
        return []

    def connect(self) -> psycopg.Connection[Any]:
        """As its owner, beside the node."""
        if url := self.environment.get(DATABASE_URL):
            return psycopg.connect(url, autocommit=True, options="-csearch_path=waystation")
        return psycopg.connect(
            host=self._postmaster()[4],
            user="postgres",
            dbname="postgres",
            autocommit=True,
            options="-csearch_path=waystation",
        )

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.http.post(path, json=body or {})
        assert answer.is_success, (path, answer.text)
        return answer.json()

    def well(self) -> bool:
        """Whether it answers, and nothing in it has stopped."""
        with suppress(httpx.TransportError):
            answer = self.http.get("/health", timeout=5)
            return answer.status_code == 200 and answer.json()["status"] == "ok"
        return False

    def await_well(self, seconds: float = UP_S) -> None:
        until(self.well, seconds, self.state)

    def state(self) -> str:
        """What to read when it is not well."""
        with suppress(httpx.TransportError):
            return f"{self.http.get('/health', timeout=5).text}\n{self.tail()}"
        return self.tail()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""
