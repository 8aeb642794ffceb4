"""空间: whether the disk under a node's database has room for another commit."""

from __future__ import annotations

import os
import time
from pathlib import Path

from domain.errors import Refusal

RESERVE_BYTES = 64 * 1024 * 1024
"""Left free for what the database must still write: a full disk ends PostgreSQL, reads with it."""

LOOK_S = 0.25
"""How long an answer about the room counts."""


class DiskFull(Refusal):
    """磁盘空间不足，暂不能登记。The disk is full: nothing is recorded until there is room."""

    kind = "busy"
    mend = (
        "没有写入任何内容；请通知管理员清理磁盘，之后自动恢复，用同一个 Idempotency-Key 重试即可。"
        "Nothing was written; let whoever runs the node make room. It then goes on by itself."
    )


class Space:
    """The room on the disk of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free, self._until = 0, 0.0

    def must_suffice(self) -> None:
        """Refuse while there is too little.

        Raises:
            DiskFull.
        """
        now = time.monotonic()
        if now >= self._until:
            found = os.statvfs(self._folder)
            self._free, self._until = found.f_bavail * found.f_frsize, now + LOOK_S
        if self._free < RESERVE_BYTES:
            raise DiskFull(free=self._free, needed=RESERVE_BYTES)
