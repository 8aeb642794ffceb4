"""重启: looks after a server that may die under its owner, for as long as the owner wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from domain.errors import Refusal

LOOK_S = 0.1
"""How often the server is looked at; its clients are refused in the meantime."""

AGAIN_MAX_S = 5.0
"""The longest pause between two tries: a disk that was full may have room by then."""

logger = logging.getLogger(__name__)


class Reviver:
    """Calls `revive` when `lives` says no, again and again at a bounded pace, until stopped."""

    def __init__(self, lives: Callable[[], bool], revive: Callable[[], None]) -> None:
        self._lives, self._revive = lives, revive
        self.stopping = Event()
        self._thread = Thread(target=self._run, name="database-reviver", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until a try under way has given up."""
        self.stopping.set()
        self._thread.join()

    def _run(self) -> None:
        pause = LOOK_S
        while not self.stopping.wait(pause):
            if self._lives():
                pause = LOOK_S
                continue
            logger.error("The embedded database has ended under its node; it is started again")
            try:
                self._revive()
            except (Refusal, OSError) as fault:
                pause = min(AGAIN_MAX_S, pause * 2)
                logger.error("It did not start: %s; the next try is in %.1f s", fault, pause)  # noqa: TRY400 - the fault says it all.
