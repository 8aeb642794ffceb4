"""服务进程: runs one node's application until it is told to stop, then stops it in order."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from api.app import create_app
from api.node import Node
from domain.errors import Refusal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

GRACE_S = 10
"""How long requests under way may take at shutdown."""


class CannotListen(Refusal):
    """不能在这个地址上应答。The node cannot listen at this address."""

    kind = "busy"
    mend = "请另选端口，或停止占用它的程序。Choose another port, or stop what uses this one."


class NodeServer(uvicorn.Server):
    """uvicorn, telling the node's worker first, so that no peer's long poll holds the end up."""

    def __init__(self, node: Node, ready: Callable[[], None] | None = None) -> None:
        self.app = create_app(node)
        config = uvicorn.Config(
            self.app,
            host=node.settings.host,
            port=node.settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
            loop="uvloop",
            http="httptools",
        )
        super().__init__(config)
        self._ready, self._address = ready, f"{node.settings.host}:{node.settings.port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so.

        Raises:
            CannotListen: the address is taken, or not of this machine.
        """
        try:
            await super().startup(sockets)
        except SystemExit:
            # uvicorn has logged why; what can be mended is the address.
            raise CannotListen(setting="host, port", address=self._address) from None
        if self._ready is not None and self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that was obeyed is not raised again: the node closes first."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self.handle_exit) for sig in _SIGNALS}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: waiting requests answer now."""
        self.app.state.running.worker.hurry()
        super().handle_exit(sig, frame)

    def end(self) -> None:
        """As a signal, from another thread."""
        self.app.state.running.worker.hurry()
        self.should_exit = True


class ServerThread:
    """A node's server in a thread of this process (tests, the story)."""

    def __init__(self, node: Node) -> None:
        self._up = threading.Event()
        self._server = NodeServer(node, self._up.set)
        self.app = self._server.app
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def start(self, timeout: float = 20.0) -> None:
        """Start and wait until it answers.

        Raises:
            TimeoutError: it did not come up.
        """
        self._thread.start()
        if not self._up.wait(timeout):
            raise TimeoutError("The server did not come up.")

    def stop(self) -> None:
        """Stop and wait for the end."""
        self._server.end()
        self._thread.join(timeout=GRACE_S + 10)
