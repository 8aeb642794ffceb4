"""可达: why a broker cannot be reached, where its client says only that it cannot."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Self

KNOCK_S = 2.0


def described(fault: BaseException) -> str:
    """What is shown of an exception; some begin with their own name."""
    name, said = type(fault).__name__, str(fault)
    return said if said.startswith(name) else f"{name}: {said}"


def knock(servers: Iterable[str]) -> str | None:
    """Why none of the servers (host:port) accepts connections; None where one does.

    Asked before a client is made, for a client leaves a socket behind at every failed attempt.
    """
    reason = "no server is named"
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
        except OSError as fault:
            reason = f"{server}: {fault}"
        else:
            return None
    return reason


class Overheard(logging.Handler, AbstractContextManager["Overheard"]):
    """What a client of ours tells its log while it connects; it raises nothing but a time-out."""

    def __init__(self, logger: str, client_id: str, saying_nothing: type[Exception]) -> None:
        super().__init__(logging.WARNING)
        self._logger, self._client_id = logging.getLogger(logger), client_id
        self._nothing, self._caller, self.reason = saying_nothing, get_ident(), ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first cause; other nodes' clients in this process are told by their thread."""
        ours = record.thread == self._caller or self._client_id in str(record.threadName)
        for cause in record.args if ours and isinstance(record.args, tuple) else ():
            if isinstance(cause, Exception) and not isinstance(cause, self._nothing):
                self.reason = self.reason or described(cause)

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
