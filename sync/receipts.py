"""送回单: sends a peer the newest receipt, beside the pulling, so that no fact waits for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Thread

PAUSE_S = 0.1
"""Between two receipts to one peer: each says all that the ones before it said."""

AFTER_S = 0.02
"""How long a receipt is held back: what it is about goes first, to whoever reads it here."""


class Receipts:
    """One thread a peer; a receipt that a newer one overtakes is never sent."""

    def __init__(self, name: str, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._newest: bytes | None = None
        self._fault: Exception | None = None
        self._stopped = False
        self._news = Condition()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a receipt that was not sent is made anew at the next start."""
        with self._news:
            self._stopped = True
            self._news.notify()

    def put(self, receipt: bytes) -> None:
        """Have one sent soon."""
        with self._news:
            self._newest = receipt
            self._news.notify()

    def check(self) -> None:
        """Raise what the last sending met, once."""
        with self._news:
            fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stopped or self._newest is not None)
                self._news.wait_for(lambda: self._stopped, AFTER_S)
                if self._stopped or self._newest is None:
                    return
                receipt, self._newest = self._newest, None
            try:
                self._send(receipt)
            except Exception as fault:  # noqa: BLE001 - the puller raises it, waits and says so.
                with self._news:
                    self._fault = fault
            with self._news:
                self._news.wait_for(lambda: self._stopped, PAUSE_S)
