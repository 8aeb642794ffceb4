"""内置数据库: one PostgreSQL server in one folder, for as long as its owner lives."""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

from api.storage.errors import DatabaseInUse, DatabaseNotStarted
from api.storage.places import SOCKET_PREFIX, new_home, new_socket_folder
from api.storage.programs import Programs, end, serves
from api.storage.reviver import Reviver

logger = logging.getLogger(__name__)

# Replaying a crash at 4 GB of log takes its time on a slow disk.
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
# How long an earlier owner's server gets to see that its owner is gone.
GRACE_S = 5.0
POLL_S = 0.02
LOG_TAIL_BYTES = 2000

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    "jit": "off",
    "cluster_name": "waystation",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
FLEETING = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# The watcher's standard input ends when the owner does, by whatever death: no signal needed.
WATCHER = 'read _; "$1" stop -w -m fast -D "$2" >/dev/null 2>&1; rmdir "$3" 2>/dev/null'


class EmbeddedServer:
    """The PostgreSQL of one node in `folder`, which is its own: nothing else may lie there.

    It listens on a Unix socket in a private folder and on nothing else. It stops with `stop`, at
    the interpreter's exit, and when the owner is killed; when it dies by itself it is started
    again, at the same address. With `durable` off a crash of the machine loses data: for tests of
    volume only.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.durable = durable
        self._programs: Programs
        self._owner = 0
        self._lock = -1
        self._sockets: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._reviver: Reviver | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where clients connect: the database `postgres`, as its superuser."""
        assert self._sockets is not None, "start the server first"
        return f"postgresql://postgres@/postgres?host={quote(str(self._sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return self._server.pid if self._server is not None else None

    @property
    def log(self) -> Path:
        """What the server has to say since its last start."""
        return self.home / "log"

    @property
    def home(self) -> Path:
        """Where the files really are: the folder, or the place that root's server had to take."""
        return (self.folder / "elsewhere").resolve() if self._moved() else self.folder

    def start(self) -> str:
        """Start the server, creating its files the first time, and answer once it takes queries."""
        if self._server is not None:
            return self.url
        self._programs = Programs()
        self._settle()
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        self._reviver = Reviver(self._lives, self._begin)
        self._reviver.start()
        return self.url

    def stop(self) -> None:
        """Stop the server in an orderly way; harmless when it is not running."""
        atexit.unregister(self.stop)
        if self._owner not in (0, os.getpid()):
            return  # A forked child leaves its parent's server alone.
        if self._reviver is not None:
            self._reviver.stop()
            self._reviver = None
        self._let_go()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def _lives(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def _begin(self) -> None:
        """Start on files that anything may have happened to; what it began is ended if it fails."""
        self._let_go()
        self._take_lock()
        try:
            self._clear_crash()
            self._create()
            self._launch()
            self._await_ready()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """End what runs, and free the folder; the address is kept for the next start."""
        if self._watcher is not None:
            # First of all, lest it stop a server that the next owner starts here.
            self._watcher.kill()
            self._watcher.communicate()
            self._watcher = None
        if self._server is not None:
            end(self._server, STOP_TIMEOUT_S)
            self._server = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def erase(self) -> None:
        """Stop the server and remove its files for good, wherever they lie."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _moved(self) -> bool:
        return (self.folder / "elsewhere").is_symlink()

    def _settle(self) -> None:
        """Make the folder, elsewhere if nobody (as whom root's server runs) cannot reach it."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._moved() and not self._programs.reaches(self.folder):
            place = new_home(self.folder.name, durable=self.durable)
            (self.folder / "elsewhere").symlink_to(place)
        if self._moved():
            logger.warning(
                "PostgreSQL runs as nobody, who cannot enter %s: its files are in %s",
                self.folder,
                self.home,
            )
        if self.durable and not self.home.exists():
            # Starting empty would look like a node that never knew anything.
            raise DatabaseNotStarted(folder=str(self.folder), lost=str(self.home))
        self.home.mkdir(exist_ok=True, mode=0o700)
        self._programs.hand_over(self.home)

    def _take_lock(self) -> None:
        """Hold the folder; the server inherits the lock, so it is free when both are gone."""
        self._owner = os.getpid()
        self._lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + GRACE_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                facts = self._postmaster()
                stopping = facts[7:] == ["stopping"]
                patience = STOP_TIMEOUT_S if stopping else 0
                if time.monotonic() > deadline + patience:
                    os.close(self._lock)
                    self._lock = -1
                    raise DatabaseInUse(
                        folder=str(self.folder), pid=int(facts[0]) if facts else None
                    ) from None
                time.sleep(POLL_S)
            else:
                return

    def _postmaster(self) -> list[str]:
        """The lines of postmaster.pid: pid, folder, start, port, sockets, host, memory, state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.strip() for line in lines]

    def _clear_crash(self) -> None:
        """Remove what a server left that was killed: its pid may be another process by now."""
        facts = self._postmaster()
        if not facts:
            return
        if serves(int(facts[0]), self._data):
            raise DatabaseInUse(folder=str(self.folder), pid=int(facts[0]))
        logger.info("the server of process %s was killed; recovering %s", facts[0], self.folder)
        (self._data / "postmaster.pid").unlink()
        if self._sockets is not None:
            # Our own: clients know it. What lies in it names a process that is gone.
            for left in self._sockets.iterdir():
                left.unlink()
        elif len(facts) > 4 and Path(facts[4]).name.startswith(SOCKET_PREFIX):  # noqa: PLR2004
            shutil.rmtree(facts[4], ignore_errors=True)

    def _create(self) -> None:
        if self._data.exists():
            return
        # Created beside and renamed, so that a kill half-way leaves no half of a database.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        made = self._programs.run(
            "initdb",
            f"--pgdata={fresh}",
            "--username=postgres",
            "--auth-local=trust",  # The socket's folder is the guard: only its owner can enter.
            "--auth-host=reject",
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
            *(() if self.durable else ("--no-sync",)),
        )
        if made.returncode != 0:
            raise DatabaseNotStarted(folder=str(self.folder), log=made.stdout[-LOG_TAIL_BYTES:])
        fresh.rename(self._data)

    def _launch(self) -> None:
        self._sockets = self._sockets or new_socket_folder()
        self._programs.hand_over(self._sockets)
        settings = SETTINGS | ({} if self.durable else FLEETING)
        settings["unix_socket_directories"] = str(self._sockets)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".before"))
        options = [f"--{name}={value}" for name, value in settings.items()]
        programs = self._programs.folder
        with self.log.open("wb") as log:
            self._server = self._programs.spawn(
                [str(programs / "postgres"), "-D", str(self._data), *options],
                log,
                stdin=subprocess.DEVNULL,
                keep=(self._lock,),
            )
        watched = (programs / "pg_ctl", self._data, self._sockets)
        self._watcher = self._programs.spawn(
            ["/bin/sh", "-c", WATCHER, "waystation-watcher", *map(str, watched)],
            subprocess.DEVNULL,
            stdin=subprocess.PIPE,
        )

    def _await_ready(self) -> None:
        assert self._server is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._lives() and not self._given_up() and time.monotonic() < deadline:
            facts = self._postmaster()
            if facts[:1] == [str(self._server.pid)] and facts[7:] == ["ready"]:
                return
            time.sleep(POLL_S)
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        raise DatabaseNotStarted(folder=str(self.folder), log=tail)

    def _given_up(self) -> bool:
        return self._reviver is not None and self._reviver.stopping.is_set()
