"""门: what a request must pass before any route sees it: who may call, and how much may come."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any

from api.problems import TooLarge, of_refusal
from domain.errors import Refusal
from sync.bundle_file import BUNDLE_BYTES
from sync.verifier.evidence import EVIDENCE_BYTES

BODY_MAX = 1024 * 1024
"""Bytes of a request's body."""

IMPORT_MAX = 20 * 1024 * 1024
"""Bytes of a workbook."""

_LIMITS = {
    "/imports/": IMPORT_MAX,
    "/bundles": BUNDLE_BYTES,
    "/history/report": EVIDENCE_BYTES,
}
"""By how a path begins."""

PUBLIC = frozenset({"/card", "/health"})
FOR_PEERS = ("/lanes/", "/log/")
"""What may be called from elsewhere: each peer's request is signed, card and health are public."""

FROM_HERE = ("/log/tile/entries/", "/log/contradictions")
"""What may not, although hashes of the same log may: entries hold what is said of people."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class NotFromHere(Refusal):
    """人员接口暂只接受本机访问。The people's interface takes calls from this machine only."""

    kind = "forbidden"
    mend = (
        "人员账号启用之前，请在本机使用。"
        "Use it on the node's own machine until people have accounts."
    )


class _TooMuch(Exception):  # noqa: N818 - stops the reading, is never seen outside.
    pass


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(1024)
def is_from_here(client: str, host: bytes, origin: bytes) -> bool:
    """Whether a person or program of this machine asks, and not a page of somebody else's.

    A browser here shows pages from anywhere. One of them may ask this machine (its Origin is not
    ours), also by a name of its own that was made to lead here (the Host is not ours).
    """
    if not _is_loopback(client):
        return False
    named = host.decode("latin-1")
    name = named.partition("]")[0].lstrip("[") if named[:1] == "[" else named.partition(":")[0]
    if named and not _is_loopback(name):
        return False
    return not origin or origin.partition(b"://")[2] == host


def from_here(scope: Scope) -> bool:
    """The same, of a request."""
    headers, client = dict(scope["headers"]), (scope.get("client") or ("", 0))[0]
    return is_from_here(client, headers.get(b"host", b""), headers.get(b"origin", b""))


class Gate:
    """ASGI middleware: people on loopback only, bodies bounded while they are read."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        headers = dict(scope["headers"])
        elsewhere = path in PUBLIC or (
            path.startswith(FOR_PEERS) and not path.startswith(FROM_HERE)
        )
        if not elsewhere and not from_here(scope):
            await of_refusal(NotFromHere(), path)(scope, receive, send)
            return
        limit = next((most for at, most in _LIMITS.items() if path.startswith(at)), BODY_MAX)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await of_refusal(TooLarge(maximum=limit), path)(scope, receive, send)
            return
        if declared != b"0" or scope["method"] in {"GET", "HEAD"}:
            # The server holds the body to its declared length.
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, _bounded(receive, limit), send)
        except _TooMuch:
            await of_refusal(TooLarge(maximum=limit), path)(scope, receive, send)


def _bounded(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _TooMuch
        return message

    return bounded
