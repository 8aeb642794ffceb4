"""HTTP 通道: the peer pulls with long polling; every request is signed (RFC 9421)."""

from __future__ import annotations

import base64
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
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
from nacl.signing import VerifyKey

from domain.values import OrgCode, utc_now
from sync.envelope import BATCH_BYTES
from sync.errors import Forged, NotEnrolled
from sync.inbox import Inbox
from sync.keys import NodeKeys
from sync.receipts import Receipts
from sync.refused import REFUSAL_BYTES, in_words, reason
from sync.relay import Acquainted, Relay
from sync.retry import PullState

WINDOW = timedelta(seconds=300)
"""How far a signed request's time may lie from ours."""

NONCES_MAX = 20_000
"""Nonces remembered; more than a peer can send within the window at any sane rate."""

TAGS = ("waystation", "waystation-beside")
"""Of the signature by the key in use, and of that by the one before, where both are given."""

COVERED = ("@method", "@path", "@query")

TIMEOUT_S = 10.0
"""For a request that does not wait for news."""

authorities = cache(lambda: httpx.create_ssl_context(trust_env=False))
"""Who vouches for a peer's address, for every client of a process: reading them takes 40 ms."""

_log = logging.getLogger(__name__)


class _Ed25519(HTTPSignatureAlgorithm):
    """The library's algorithm by PyNaCl: one verifier for all that is signed here."""

    algorithm_id = "ed25519"

    def __init__(
        self, public_key: bytes | None = None, private_key: Any = None, password: Any = None
    ) -> None:
        del private_key, password
        self._public = public_key

    def verify(self, signature: bytes, message: bytes) -> None:
        try:
            VerifyKey(self._public or b"").verify(message, signature)
        except (BadSignatureError, ValueError, TypeError) as fault:
            raise InvalidSignature(str(fault)) from fault


class _PeerKeys(HTTPSignatureKeyResolver):
    def __init__(self, known: Acquainted) -> None:
        self._known = known

    def resolve_public_key(self, key_id: str) -> bytes:
        return base64.b64decode(self._known.peer(key_id).verify_key)


@dataclass
class Message:
    """A request, as far as it is signed."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


class Signer:
    """Signs this node's requests to peers."""

    def __init__(self, org: OrgCode, keys: NodeKeys, clock: Callable[[], datetime]) -> None:
        self._org, self._keys, self._clock = org, keys, clock
        self._signer = HTTPMessageSigner(signature_algorithm=_Ed25519)

    def headers(self, method: str, url: str, body: bytes | None = None) -> dict[str, str]:
        """The headers that sign a request."""
        message, nonce = Message(method, url), secrets.token_urlsafe(16)
        for tag, pair in zip(TAGS, self._keys.signers, strict=False):
            prepared = self._signer.prepare(
                message,
                key_id=self._org,
                created=self._clock(),
                nonce=nonce,
                label=tag,
                tag=tag,
                covered_component_ids=COVERED,
                body=body,
                use_existing_digest=body is not None and tag != TAGS[0],
            )
            signature = pair.sign(prepared.signature_base)
            self._signer.apply(message, prepared, signature, append_if_signature_exists=True)
        return message.headers


class Gate:
    """Checks that a request comes from an enrolled peer, is fresh, and is not a repetition."""

    def __init__(self, known: Acquainted) -> None:
        self._verifier = HTTPMessageVerifier(
            signature_algorithm=_Ed25519, key_resolver=_PeerKeys(known)
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
        request = Message(method, url, dict(headers))
        try:
            result = self._verified(request, body, TAGS[0])
        except Forged:
            if TAGS[1] not in str(headers):
                raise
            # The new key has not reached us yet; the old one vouches.
            result = self._verified(request, body, TAGS[1])
        peer = str(result.parameters["keyid"])
        self._must_be_new(peer, str(result.nonce))
        return peer

    def _verified(self, request: Message, body: bytes | None, tag: str) -> Any:
        try:
            results = self._verifier.verify(
                request,
                # The library adds the skew to the age: with none, a request is stale after WINDOW.
                max_age=timedelta(0),
                expect_tag=tag,
                require_components=(*COVERED, "content-digest") if body else COVERED,
                body=body or b"",  # Also of none: a digest that was signed is of what was taken.
            )
        except InvalidSignature as fault:
            if isinstance(fault.__cause__, NotEnrolled):
                raise fault.__cause__ from None
            signed = request.headers.get("signature-input", "")
            raise reason(str(fault), signed, utc_now(), WINDOW) from None
        return results[0]

    def _must_be_new(self, peer: str, nonce: str) -> None:
        with self._lock:
            if (peer, nonce) in self._nonces:
                raise Forged(because="repeated request")
            self._nonces[peer, nonce] = None
            while len(self._nonces) > NONCES_MAX:
                self._nonces.popitem(last=False)


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
        self.state, self._greeted = PullState(peer), False
        self._relay, self._inbox, self._signer, self._org = relay, inbox, signer, org
        self._after, self._poll_s, self._clock = after, poll_seconds, clock
        self._stop, self._again, self._recording = Event(), Event(), Lock()
        self._client = httpx.Client(verify=authorities(), trust_env=False, follow_redirects=False)
        self._receipts = Receipts(f"receipts-{peer}", self._acknowledge)
        self._thread = Thread(target=self._run, name=f"pull-{peer}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._receipts.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop: what is being recorded is finished; a poll that waits for news is left behind."""
        self._stop.set()
        self._again.set()
        self._receipts.stop()
        with self._recording:
            self._client.close()

    def retry(self) -> None:
        """Try at once, and begin to count the failures anew."""
        self.state.well()
        self._again.set()

    def tell(self) -> None:
        """Have the peer told where its lane stands here, and what is set aside."""
        self._receipts.put(self._inbox.receipt(self.state.peer))

    @property
    def alive(self) -> bool:
        """Whether it still works, or was stopped."""
        return self._thread.is_alive() or self._stop.is_set()

    def step(self) -> int:
        """One exchange; how many entries were new. Its receipt follows by itself.

        Raises:
            httpx.HTTPError, NotEnrolled: the peer did not answer as agreed.
        """
        self._receipts.check()
        peer = self._relay.peer(self.state.peer)
        # It names whom it is for: nobody can pass it off elsewhere. The first waits for no news.
        asked = f"of={peer.code}&after={self._after()}&wait={self._poll_s * self._greeted}"
        url = f"{peer.address}/lanes/{self._org}?{asked}"
        wire = self._request("GET", url, None, self._poll_s + TIMEOUT_S)
        with self._recording:
            if self._stop.is_set():
                return 0
            outcome = self._inbox.accept(wire)
        self.state.last_heard = self._clock()
        if outcome.fault is not None:
            self.state.last_error = str(outcome.fault)
            _log.warning("Batch of %s refused: %s", self.state.peer, outcome.fault)
            if outcome.answer:
                self._acknowledge(outcome.answer)
            raise httpx.HTTPError(str(outcome.fault))
        if outcome.answer and (outcome.new or not self._greeted):
            self._receipts.put(outcome.answer)
            self._greeted = True
        return outcome.recorded

    def _acknowledge(self, receipt: bytes) -> None:
        url = f"{self._relay.peer(self.state.peer).address}/lanes/receipts"
        try:
            self._request("POST", url, receipt, TIMEOUT_S)
        except Exception:
            self._greeted = False  # Said again with the next batch, whatever it holds.
            raise

    def _request(self, method: str, url: str, body: bytes | None, timeout: float) -> bytes:
        return request(self._client, self._signer, method, url, body, timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._again.clear()
                self.step()
                self.state.well()
            except Exception as fault:  # noqa: BLE001 - the lane waits and tries again, visibly.
                if self._stop.is_set():
                    return
                wait = self.state.failed(fault, self._clock())
                _log.info("Lane from %s: %s", self.state.peer, self.state.last_error)
                self._again.wait(wait)


def request(  # noqa: PLR0913, PLR0917 - one signed request.
    client: httpx.Client, signer: Signer, method: str, url: str, body: bytes | None, timeout: float
) -> bytes:
    """What a peer answers to a signed request, read no further than a message may be long.

    Raises:
        httpx.HTTPError: the peer did not answer as agreed.
    """
    headers = signer.headers(method, url, body)
    with client.stream(method, url, content=body, headers=headers, timeout=timeout) as answer:
        if not answer.is_success:
            said = in_words(answer.status_code, next(answer.iter_raw(REFUSAL_BYTES), b""))
            raise httpx.HTTPStatusError(said, request=answer.request, response=answer)
        received = bytearray()
        for chunk in answer.iter_raw():
            received += chunk
            if len(received) > BATCH_BYTES * 2:
                raise httpx.HTTPError(f"more than {BATCH_BYTES * 2} bytes")
        return bytes(received)
