"""去路: a peer's node over HTTP, as far as a comparison needs it."""

from __future__ import annotations

import httpx

from api.agreement.reconcile import PeerNotReached
from api.node import Node
from domain.organization import Peer
from sync.signed_http import Signer, authorities, request

ANSWER_S = 60.0
"""For an answer: the peer may have to hash a large table first."""

FETCHES_MAX = 1_000
"""Batches fetched in one go; the rest comes by the lane."""


class HttpWay:
    """One peer; requests are signed as those of its lane are."""

    def __init__(self, node: Node, peer: Peer) -> None:
        self._node, self._peer = node, peer
        self._signer = Signer(node.settings.code, node.keys, node.clock)
        self._client = httpx.Client(verify=authorities(), trust_env=False, follow_redirects=False)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def post(self, wire: bytes) -> bytes:
        """Carry a question there and the answer back."""
        return self._request("POST", f"{self._peer.address}/lanes/compare", wire)

    def fetch(self) -> int:
        """Pull what follows the last number, through the inbox; how many entries were new."""
        node, code, new = self._node, self._peer.code, 0
        for _ in range(FETCHES_MAX):
            after = node.lanes.standing_in(code).number
            query = f"of={code}&after={after}&wait=0"
            url = f"{self._peer.address}/lanes/{node.settings.code}?{query}"
            outcome = node.inbox.accept(self._request("GET", url, None))
            if outcome.fault is not None:
                raise outcome.fault
            self._request("POST", f"{self._peer.address}/lanes/receipts", outcome.answer)
            if node.lanes.standing_in(code).number == after:
                return new
            new += outcome.recorded
        return new

    def _request(self, method: str, url: str, body: bytes | None) -> bytes:
        try:
            return request(self._client, self._signer, method, url, body, ANSWER_S).body
        except httpx.HTTPStatusError as fault:
            status = fault.response.status_code
            raise PeerNotReached(peer=self._peer.code, because=f"HTTP {status}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise PeerNotReached(peer=self._peer.code, because=str(fault)[:200]) from None
