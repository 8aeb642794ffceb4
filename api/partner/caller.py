"""来客: asks the node under test what a peer may ask, in every wrong way as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from api.partner.probe import Probe
from sync.envelope import BATCH_BYTES
from sync.signed_http import Signer, authorities

ANSWER_S = 15.0
"""How long the node may take for one answer or one step of the lane."""


class Answer(NamedTuple):
    """What came back; status 0 where the connection was closed instead."""

    status: int
    content: bytes = b""

    @property
    def told(self) -> str:
        """Status and reason, in few words."""
        if not self.status:
            return f"the connection broke: {self.content.decode()[:200]}"
        try:
            problem = json.loads(self.content)["type"].rpartition("/")[2]
        except (ValueError, KeyError, TypeError, AttributeError):
            problem = ""
        return f"{self.status} {problem[:60]}".strip()


class Caller:
    """Speaks to the given address and to no other; a redirect is not followed."""

    def __init__(self, url: str, probe: Probe) -> None:
        self.url, self.probe = url.rstrip("/"), probe
        self._http = httpx.Client(
            verify=authorities(), trust_env=False, follow_redirects=False, timeout=ANSWER_S
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request; of the answer no more than a message may be long."""
        request = {"headers": dict(headers or {}), "content": body}
        try:
            with self._http.stream(method, self.url + path, **request) as answer:  # type: ignore[arg-type]
                received = bytearray()
                for chunk in answer.iter_raw():
                    received += chunk
                    if len(received) > BATCH_BYTES * 2:
                        return Answer(0, b"the answer is too long")
                return Answer(answer.status_code, bytes(received))
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return Answer(0, f"{type(fault).__name__} {fault}".encode())

    def path(self, *, after: int = 0, of: str = "", lane: str = "") -> str:
        """The path of a pull."""
        of = of or self.probe.node
        return f"/lanes/{lane or self.probe.code}?of={of}&after={after}&wait=0"

    def signed(self, path: str, signer: Signer | None = None) -> dict[str, str]:
        """The headers that sign a pull."""
        return (signer or self.probe.signer()).headers("GET", self.url + path)

    def pull(self, path: str = "", signer: Signer | None = None) -> Answer:
        """A signed pull."""
        path = path or self.path()
        return self.send("GET", path, self.signed(path, signer))

    def hand_in(self, wire: bytes, signed: bytes | None = None) -> Answer:
        """A message posted in a signed request."""
        path = "/lanes/receipts"
        headers = self.probe.signer().headers("POST", self.url + path, signed or wire)
        return self.send("POST", path, headers, wire)
