"""消息: lets what waits in the event loop know that something has changed in a thread."""

from __future__ import annotations

import asyncio
from threading import Lock


class News:
    """Wakes every coroutine that waits; news that nobody waits for is forgotten."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = Lock()

    def tell(self) -> None:
        """Called from any thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    def listen(self) -> asyncio.Event:
        """An event set at the next news; ask for it before looking, or the news is missed."""
        event = asyncio.Event()
        with self._lock:
            self._waiting.append((asyncio.get_running_loop(), event))
        return event
