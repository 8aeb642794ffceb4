"""HTTP 取回: asks peers over their addresses, whatever way their lanes go."""

from __future__ import annotations

import httpx

from domain.values import OrgCode
from sync.relay import Relay
from sync.signed_http import TIMEOUT_S, Signer, authorities, request
from sync.taking_back import NotReached


class HttpAsker:
    """One for a node; every request is signed as all are."""

    def __init__(self, org: OrgCode, relay: Relay, signer: Signer) -> None:
        self._org, self._relay, self._signer = org, relay, signer
        self._client = httpx.Client(verify=authorities(), trust_env=False, follow_redirects=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def returned(self, peer: OrgCode, after: int, cursor: int, size: int) -> bytes:
        """A page of what a peer gives back.

        Raises:
            NotEnrolled, NotReached.
        """
        asked = f"of={peer}&after={after}&cursor={cursor}&size={size}"
        return self._ask(peer, f"/lanes/{self._org}/returned?{asked}")

    def batch(self, peer: OrgCode, after: int) -> bytes:
        """The batch that follows a number of its lane to us, without waiting for news.

        Raises:
            NotEnrolled, NotReached.
        """
        return self._ask(peer, f"/lanes/{self._org}?of={peer}&after={after}&wait=0")

    def _ask(self, peer: OrgCode, path: str) -> bytes:
        url = f"{self._relay.peer(peer).address}{path}"
        try:
            return request(self._client, self._signer, "GET", url, None, TIMEOUT_S).body
        except httpx.HTTPError as fault:
            raise NotReached(peer=peer, because=str(fault)[:200]) from None
