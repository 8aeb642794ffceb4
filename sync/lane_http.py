"""HTTP 通道: the peer pulls with long polling; every request is signed (RFC 9421)."""

from __future__ import annotations

import base64
import logging
import random
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from typing import Any

import httpx
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
)
from http_message_signatures.algorithms import HTTPSignatureAlgorithm
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from domain.values import OrgCode
from sync.envelope import BATCH_BYTES
from sync.errors import Forged, NotEnrolled
from sync.inbox import Inbox
from sync.keys import NodeKeys
from sync.receipts import Receipts
from sync.relay import Relay

WINDOW = timedelta(seconds=300)
"""How far a signed request's time may lie from ours."""

NONCES_MAX = 20_000
"""Nonces remembered; more than a peer can send within the window at any sane rate."""

TAG = "waystation"
COVERED = ("@method", "@path", "@query")

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 60.0
TIMEOUT_S = 10.0
"""For a request that does not wait for news."""

_log = logging.getLogger(__name__)


class _Ed25519(HTTPSignatureAlgorithm):
    """The library's algorithm by PyNaCl: one verifier for all that is signed here."""

    algorithm_id = "ed25519"

    def __init__(
        self, public_key: bytes | None = None, private_key: Any = None, password: Any = None
    ) -> None:
        del password
        self._public, self._private = public_key, private_key

    def sign(self, message: bytes) -> bytes:
        signing: SigningKey = self._private
        return bytes(signing.sign(message).signature)

    def verify(self, signature: bytes, message: bytes) -> None:
        try:
            VerifyKey(self._public or b"").verify(message, signature)
        except (BadSignatureError, ValueError, TypeError) as fault:
            raise InvalidSignature(str(fault)) from fault


class _OwnKey(HTTPSignatureKeyResolver):
    def __init__(self, keys: NodeKeys) -> None:
        self._keys = keys

    def resolve_private_key(self, key_id: str) -> Any:
        del key_id
        return self._keys.signing


class _PeerKeys(HTTPSignatureKeyResolver):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def resolve_public_key(self, key_id: str) -> bytes:
        return base64.b64decode(self._relay.peer(key_id).verify_key)


@dataclass
class Message:
    """A request, as far as it is signed."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class Signer:
    """Signs this node's requests to peers."""

    def __init__(self, org: OrgCode, keys: NodeKeys, clock: Callable[[], datetime]) -> None:
        self._org, self._clock = org, clock
        self._signer = HTTPMessageSigner(signature_algorithm=_Ed25519, key_resolver=_OwnKey(keys))

    def headers(self, method: str, url: str, body: bytes | None = None) -> dict[str, str]:
        """The headers that sign a request."""
        message = Message(method, url)
        self._signer.sign(
            message,
            key_id=self._org,
            created=self._clock(),
            nonce=secrets.token_urlsafe(16),
            tag=TAG,
            covered_component_ids=COVERED,
            body=body,
        )
        return message.headers


class Gate:
    """Checks that a request comes from an enrolled peer, is fresh, and is not a repetition."""

    def __init__(self, relay: Relay) -> None:
        self._verifier = HTTPMessageVerifier(
            signature_algorithm=_Ed25519, key_resolver=_PeerKeys(relay)
        )
        self._verifier.max_clock_skew = WINDOW
        self._nonces: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = Lock()

    def admit(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> OrgCode:
        """The peer that signed the request.

        Raises:
            NotEnrolled, Forged: also for a stale or repeated request.
        """
        required = (*COVERED, "content-digest") if body else COVERED
        try:
            results = self._verifier.verify(
                Message(method, url, dict(headers)),
                # The library adds the skew to the age: with none, a request is stale after WINDOW.
                max_age=timedelta(0),
                expect_tag=TAG,
                require_components=required,
                body=body or None,
            )
        except InvalidSignature as fault:
            if isinstance(fault.__cause__, NotEnrolled):
                raise fault.__cause__ from None
            raise Forged(because=str(fault)[:200]) from None
        peer = str(results[0].parameters["keyid"])
        self._must_be_new(peer, str(results[0].nonce))
        return peer

    def _must_be_new(self, peer: str, nonce: str) -> None:
        with self._lock:
            if (peer, nonce) in self._nonces:
                raise Forged(because="repeated request")
            self._nonces[peer, nonce] = None
            while len(self._nonces) > NONCES_MAX:
                self._nonces.popitem(last=False)


@dataclass
class PullState:
    """How the lane from one peer is doing; shown to people as it is."""

    peer: OrgCode
    failures: int = 0
    last_error: str | None = None
    last_heard: datetime | None = None
    retry_in_s: float = 0.0


class Puller:
    """Pulls one peer's lane: ask for what follows, accept it, send the receipt; for ever."""

    def __init__(  # noqa: PLR0913 - the parts of a node, once.
        self,
        peer: OrgCode,
        relay: Relay,
        inbox: Inbox,
        signer: Signer,
        *,
        org: OrgCode,
        after: Callable[[], int],
        poll_seconds: float,
        clock: Callable[[], datetime],
    ) -> None:
        self.state = PullState(peer)
        self._relay, self._inbox, self._signer, self._org = relay, inbox, signer, org
        self._after, self._poll_s, self._clock = after, poll_seconds, clock
        self._greeted = False
        self._stop, self._recording = Event(), Lock()
        self._client = httpx.Client(trust_env=False, follow_redirects=False)
        self._receipts = Receipts(f"receipts-{peer}", self._acknowledge)
        self._thread = Thread(target=self._run, name=f"pull-{peer}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._receipts.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop: what is being recorded is finished; a poll that waits for news is left behind."""
        self._stop.set()
        self._receipts.stop()
        with self._recording:
            self._client.close()

    def step(self) -> int:
        """One exchange; how many entries were new. Its receipt follows by itself.

        Raises:
            httpx.HTTPError, NotEnrolled: the peer did not answer as agreed.
        """
        self._receipts.check()
        peer = self._relay.peer(self.state.peer)
        address = peer.address
        # Whom it is for is signed with it: who receives a request cannot pass it off elsewhere.
        query = f"of={peer.code}&after={self._after()}&wait={self._poll_s}"
        url = f"{address}/lanes/{self._org}?{query}"
        wire = self._request("GET", url, None, self._poll_s + TIMEOUT_S)
        with self._recording:
            if self._stop.is_set():
                return 0
            outcome = self._inbox.accept(wire)
        self.state.last_heard = self._clock()
        if outcome.fault is not None:
            self.state.last_error = str(outcome.fault)
            _log.warning("Batch of %s refused: %s", self.state.peer, outcome.fault)
        if outcome.fault is not None:
            if outcome.answer:
                self._acknowledge(outcome.answer)
            raise httpx.HTTPError(str(outcome.fault))
        if outcome.answer and (outcome.recorded or not self._greeted):
            self._receipts.put(outcome.answer)
            self._greeted = True
        return outcome.recorded

    def _acknowledge(self, receipt: bytes) -> None:
        address = self._relay.peer(self.state.peer).address
        try:
            self._request("POST", f"{address}/lanes/receipts", receipt, TIMEOUT_S)
        except Exception:
            self._greeted = False  # Said again with the next batch, whatever it holds.
            raise

    def _request(self, method: str, url: str, body: bytes | None, timeout: float) -> bytes:
        headers = self._signer.headers(method, url, body)
        with self._client.stream(
            method, url, content=body, headers=headers, timeout=timeout
        ) as answer:
            answer.raise_for_status()
            received = bytearray()
            for chunk in answer.iter_raw():
                received += chunk
                if len(received) > BATCH_BYTES * 2:
                    raise httpx.HTTPError(f"more than {BATCH_BYTES * 2} bytes")
            return bytes(received)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.step()
                self.state.failures, self.state.last_error = 0, None
                self.state.retry_in_s = 0.0
            except Exception as fault:  # noqa: BLE001 - the lane waits and tries again, visibly.
                if self._stop.is_set():
                    return
                self.state.failures += 1
                self.state.last_error = f"{type(fault).__name__}: {fault}"
                self.state.retry_in_s = backoff(self.state.failures)
                _log.info("Lane from %s: %s", self.state.peer, self.state.last_error)
                self._stop.wait(self.state.retry_in_s)


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures: exponential with jitter, bounded."""
    ceiling: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 10))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret.
