"""负载: many connections that each send a request when the one before it is answered, cheaply."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Caller(asyncio.Protocol):
    """One connection; it parses no more of an answer than where it ends."""

    def __init__(self, requests: list[bytes], first: int, until: float) -> None:
        self._requests, self._next, self._until = requests, first, until
        self._buffer = b""
        self._sent_at = 0.0
        self.times: list[float] = []
        self.refused = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer in, and send the next request once it is whole."""
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        at = self._buffer.lower().find(LENGTH, 0, end) + len(LENGTH)
        length = int(self._buffer[at : self._buffer.find(b"\r", at)])
        if len(self._buffer) < end + len(HEAD_END) + length:
            return
        self.refused += self._buffer[9:10] != b"2"
        self._buffer = b""
        now = time.perf_counter()
        self.times.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if not self.done.done():
            self.done.set_exception(exc) if exc else self.done.set_result(None)

    def _send(self) -> None:
        self._next = (self._next + 1) % len(self._requests)
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[self._next])


async def load(port: int, path: str, bodies: list[bytes], callers: int, seconds: float) -> None:
    """Keep that many connections busy, and print what came of it."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    requests = [f"{head}content-length: {len(b)}\r\n\r\n".encode() + b for b in bodies]
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = []
    for number in range(callers):
        first = number * len(requests) // callers
        _, caller = await loop.create_connection(
            lambda first=first: Caller(requests, first, began + seconds), "127.0.0.1", port
        )
        made.append(caller)
    await asyncio.gather(*(caller.done for caller in made))
    times = sorted(t for caller in made for t in caller.times)
    told = {
        "rate": len(times) / (time.perf_counter() - began),
        "refused": sum(caller.refused for caller in made),
        "p50": times[len(times) // 2],
        "p99": times[int(len(times) * 0.99)],
    }
    print(json.dumps(told), flush=True)


def main(port: str, path: str, bodies: str, callers: str, seconds: str) -> None:
    """From the command line; the bodies are lines of a file."""
    lines = Path(bodies).read_bytes().splitlines()
    uvloop.run(load(int(port), path, lines, int(callers), float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
