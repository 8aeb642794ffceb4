"""数据库位置: folders that the database server's account can reach, whoever starts it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

HOMES = Path("/var/lib/waystation")
SOCKET_PREFIX = "waystation-pg-"
# sun_path holds 107 bytes (103 on macOS); what follows the temporary folder is counted here.
SOCKET_PATH_BYTES = 103
SOCKET_NAME = f"/{SOCKET_PREFIX}12345678/.s.PGSQL.5432"


def new_home(name: str, *, durable: bool) -> Path:
    """Make a folder for a server's files; a durable one where the next reboot does not empty it."""
    if durable:
        with contextlib.suppress(OSError):
            open_folder(HOMES)
            return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=HOMES))
    return Path(tempfile.mkdtemp(prefix=f"waystation-{name}-", dir=_temporary()))


def new_socket_folder() -> Path:
    """Make a folder of mode 0700 whose path is short enough for a Unix socket in it."""
    return Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=_temporary()))


def open_folder(folder: Path) -> None:
    """Make a folder that every account may enter, whatever the umask."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o755)


def open_to_all(folder: Path) -> bool:
    """Tell whether every account may walk into this folder."""
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents))


def _temporary() -> Path:
    """The user's folder for temporary files, unless its path is too long or root's own."""
    chosen = Path(tempfile.gettempdir()).resolve()
    too_long = len(os.fsencode(chosen)) + len(SOCKET_NAME) > SOCKET_PATH_BYTES
    if too_long or (os.geteuid() == 0 and not open_to_all(chosen)):
        return Path("/tmp")  # noqa: S108 - what is made in it is private.
    return chosen
