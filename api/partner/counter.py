"""窗口: where the node under test fetches the probe's batches and hands in its receipts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from time import monotonic, sleep
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.errors import Refusal
from domain.organization import Peer
from domain.values import OrgCode
from sync.card import Card
from sync.envelope import NUMBER_MAX, LaneReceipt, Sealed, Want
from sync.errors import LaneFault, Misaddressed, NotEnrolled, TooLarge
from sync.signed_http import Gate

HOLD_S = 20.0
"""How long a pull is held, at most, for what is sent next; then a heartbeat answers it."""

START_S = 10.0
PORTS = 65_536

CONNECTIONS_MAX = 32
"""Connections to the probe at once; the node under test needs two."""

RECEIPT_BYTES = 64 * 1024
"""Of a receipt or a want; one of them goes into the report."""

ANSWERS_MAX = 10_000
"""Receipts and wants that are kept; an honest node sends some dozens."""

FAULTS_MAX = 20
"""Faulty requests of the node that are remembered."""


class CannotServe(Refusal):
    """不能在这个地址上应答。The probe cannot listen at this address."""

    kind = "busy"
    mend = "请用 --listen 另选地址和端口。Choose another address with --listen."


class Heard(NamedTuple):
    """What the node has done since it was given a batch."""

    after: int
    """The number it has asked to go on from."""
    receipts: tuple[LaneReceipt, ...]
    wants: tuple[Want, ...]


class OnlyPeer:
    """The node under test is the only one whose requests count."""

    def __init__(self, card: Card) -> None:
        shown = card.model_dump(include={"name", "address", "verify_key", "sealing_key"})
        self._peer = Peer(code=card.sender, fingerprint=card.fingerprint, **shown)

    def peer(self, code: OrgCode) -> Peer:
        """It, by its code.

        Raises:
            NotEnrolled: somebody else's.
        """
        if code != self._peer.code:
            raise NotEnrolled(sender=code)
        return self._peer


class Counter:
    """The lane paths of a peer, on a server of its own; a script decides what is handed out."""

    def __init__(self, code: OrgCode, node: Card) -> None:
        self.code, self.node = code, node
        self.heartbeat: Callable[[], bytes] = lambda: b""
        self.receipts: list[LaneReceipt] = []
        self.wants: list[Want] = []
        self.faults: list[str] = []
        self.proof: bytes | None = None
        """The newest receipt as the node signed it."""
        self.pulls = self.after = 0
        self._next: bytes | None = None
        self._deaf = self._closed = False
        self._broken = 0
        """The last pull that was broken off."""
        self._gate = Gate(OnlyPeer(node))
        self._news = Condition()

    # The script's side.

    def wait(self, what: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is the case of what the node has done."""
        with self._news:
            return self._news.wait_for(what, seconds)

    def serve(self, wire: bytes, seconds: float) -> Heard | None:
        """Hand a batch out; what the node did until it asked for more, None if it did not."""
        with self._news:
            receipts, wants = len(self.receipts), len(self.wants)
            self._next = wire
            self._news.notify_all()
            if not self._news.wait_for(lambda: self._next is None, seconds):
                self._next = None
                return None
            taken = self.pulls
            if not self._news.wait_for(lambda: self.pulls > taken, seconds):
                return None
            return Heard(self.after, tuple(self.receipts[receipts:]), tuple(self.wants[wants:]))

    def lose(self, wire: bytes, seconds: float) -> bool:
        """Hand a batch out and lose the receipt of it, as a network may; whether there was one."""
        with self._news:
            self._next, self._deaf = wire, True
            self._news.notify_all()
            lost = self._news.wait_for(lambda: self._next is None and not self._deaf, seconds)
            self._next, self._deaf = None, False
            return lost

    def close(self) -> None:
        """Let every request that waits go."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    # The node's side.

    def hand_out(self, after: int, wait: float) -> bytes | None:
        """What a pull is answered with; None while nothing is answered."""
        with self._news:
            self.pulls, self.after = self.pulls + 1, after
            ticket = self.pulls
            self._news.notify_all()
            self._news.wait_for(
                lambda: (
                    self._next is not None
                    or self._closed
                    or self.pulls > ticket
                    or self._broken >= ticket
                ),
                min(wait, HOLD_S),
            )
            if self._broken >= ticket or self._closed:
                return None
            if self._next is None or self.pulls > ticket:
                return self.heartbeat()
            wire, self._next = self._next, None
            self._news.notify_all()
            return wire

    def take(self, wire: bytes) -> bool:
        """Read a receipt or a want; False for one that is lost."""
        if len(wire) > RECEIPT_BYTES:
            raise TooLarge(bytes=len(wire), maximum=RECEIPT_BYTES)
        sealed = Sealed(wire)
        kind: type[LaneReceipt | Want] = Want if sealed.kind == Want.KIND else LaneReceipt
        message = sealed.open(kind, self.node.verify_key)
        if (message.sender, message.receiver) != (self.node.sender, self.code):
            raise Misaddressed(sender=message.sender, receiver=message.receiver)
        with self._news:
            if len(self.receipts) + len(self.wants) >= ANSWERS_MAX:
                return False
            if self._deaf:
                # The pull that waits is lost with it, so that both are made anew.
                self._deaf, self._broken = False, self.pulls
                self._news.notify_all()
                return False
            if isinstance(message, Want):
                self.wants.append(message)
            else:
                self.receipts.append(message)
                self.proof = wire
            self._news.notify_all()
        return True

    async def pull(self, request: Request) -> Response:
        """取件."""
        try:
            await self._admit(request)
            after, wait = self._asked(request)
        except (LaneFault, KeyError, ValueError) as fault:
            return self._refused(request, fault)
        wire = await asyncio.to_thread(self.hand_out, after, wait)
        if wire is None:
            return Response(status_code=503)
        return Response(wire, media_type="application/vnd.waystation.message")

    async def receipt(self, request: Request) -> Response:
        """收回单."""
        try:
            taken = self.take(await self._admit(request))
        except LaneFault as fault:
            return self._refused(request, fault)
        return Response(status_code=204 if taken else 503)

    def _asked(self, request: Request) -> tuple[int, float]:
        query = request.query_params
        if (request.path_params["org"], query["of"]) != (self.node.sender, self.code):
            raise Misaddressed(receiver=query["of"])
        after, wait = int(query["after"]), float(query.get("wait", 0))
        if after not in range(NUMBER_MAX) or not wait >= 0:
            raise ValueError(f"after={after}, wait={wait}")
        return after, wait

    async def _admit(self, request: Request) -> bytes:
        body = await _body(request) if request.method == "POST" else b""
        self._gate.admit(request.method, str(request.url), dict(request.headers), body)
        return body

    def _refused(self, request: Request, fault: Exception) -> Response:
        with self._news:
            if len(self.faults) < FAULTS_MAX:
                self.faults.append(f"{request.method} {request.url.path[:60]}: {fault}"[:200])
        return Response(status_code=403)


async def _body(request: Request) -> bytes:
    """No more of a body than a receipt may hold."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > RECEIPT_BYTES:
            raise TooLarge(bytes=len(received), maximum=RECEIPT_BYTES)
    return bytes(received)


def listen(address: str) -> socket.socket:
    """A socket at HOST:PORT; port 0 is any that is free.

    Raises:
        CannotServe: the address is none, taken, or not of this machine.
    """
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) not in range(PORTS):
        raise CannotServe(address=address, because="HOST:PORT")
    try:
        return socket.create_server((host, int(port)))
    except OSError as fault:
        raise CannotServe(address=address, because=str(fault)) from None


@contextmanager
def serving(counter: Counter, at: socket.socket) -> Iterator[None]:
    """Answer the node for as long as the block lasts.

    Raises:
        TimeoutError: the server did not come up.
    """
    routes = [
        Route("/lanes/receipts", counter.receipt, methods=["POST"]),
        Route("/lanes/{org}", counter.pull),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=CONNECTIONS_MAX,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [at]}, daemon=True)
    thread.start()
    try:
        deadline = monotonic() + START_S
        while not server.started:
            if monotonic() > deadline:
                raise TimeoutError("The probe's server did not come up.")
            sleep(0.01)
        yield
    finally:
        counter.close()
        server.should_exit = True
        thread.join(START_S)
