"""签名请求: what nodes ask of each other over HTTP, signed (RFC 9421), and who may ask."""

from __future__ import annotations

import base64
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from threading import Lock
from typing import Any, NamedTuple

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
from sync.keys import NodeKeys
from sync.refused import REFUSAL_BYTES, in_words, reason
from sync.relay import Acquainted

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


class Answer(NamedTuple):
    """What a peer answered; its headers are signed by nobody."""

    body: bytes
    headers: Mapping[str, str]


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


def request(  # noqa: PLR0913, PLR0917 - one signed request.
    client: httpx.Client, signer: Signer, method: str, url: str, body: bytes | None, timeout: float
) -> Answer:
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
        return Answer(bytes(received), answer.headers)
