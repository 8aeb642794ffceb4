"""门口的劣迹: a request that is not exactly what an enrolled peer has just signed is not let in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from http_message_signatures import HTTPMessageSigner

from sync.card import read_card
from sync.errors import Forged, LaneFault, NotEnrolled
from sync.keys import NodeKeys
from sync.signed_http import COVERED, TAGS, WINDOW, Gate, Message, Signer, _Ed25519
from tests.hostile.scene import Scene, scene
from tests.support.federation import ORIGIN, SHENZHEN
from tests.support.memory.stage import MemoryStage

URL = "http://victim.example/lanes/receipts?of=chengdu"
BODY = b"waystation/receipt/v1 jiuquan x\n{}"


def now() -> datetime:
    return datetime.now(UTC)


class Request(NamedTuple):
    """What arrives."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(MemoryStage()) as made:
        yield made


def signed(scene: Scene, *, by: str = ORIGIN, keys: NodeKeys | None = None, **span: float) -> Any:
    """A request as the peer would sign it."""
    signer = Signer(by, keys or scene.bad.keys, lambda: now() + timedelta(**span))
    return Request("POST", URL, signer.headers("POST", URL, BODY), BODY)


def otherwise(scene: Scene, **said: Any) -> Request:
    """Signed with the peer's own key, but not as was agreed."""
    message = Message("POST", URL)
    agreed = {
        "key_id": ORIGIN,
        "created": now(),
        "nonce": secrets.token_urlsafe(16),
        "tag": TAGS[0],
        "covered_component_ids": COVERED,
        "body": BODY,
    }
    signer = HTTPMessageSigner(signature_algorithm=_Ed25519)
    prepared = signer.prepare(message, label=TAGS[0], **{**agreed, **said})
    [pair, *_] = scene.bad.keys.signers
    signer.apply(message, prepared, pair.sign(prepared.signature_base))
    return Request("POST", URL, message.headers, BODY)


def changed(**parts: Any) -> Callable[[Scene], Request]:
    """A good request of which something is another afterwards."""
    return lambda scene: signed(scene)._replace(**parts)


def edited(name: str, change: Callable[[str], str]) -> Callable[[Scene], Request]:
    """A good request with another header."""

    def request(scene: Scene) -> Request:
        made = signed(scene)
        made.headers[name] = change(made.headers[name])
        return made

    return request


def dropped(name: str) -> Callable[[Scene], Request]:
    """A good request without a header."""

    def request(scene: Scene) -> Request:
        made = signed(scene)
        del made.headers[name]
        return made

    return request


_LATE = WINDOW.total_seconds() + 30

MISDEEDS: dict[str, tuple[Callable[[Scene], Request], type[LaneFault]]] = {
    "no signature at all": (changed(headers={}), Forged),
    "no input": (dropped("Signature-Input"), Forged),
    "no value": (dropped("Signature"), Forged),
    "no digest": (dropped("Content-Digest"), Forged),
    "another key": (lambda s: signed(s, keys=NodeKeys.generate()), Forged),
    "a stranger": (lambda s: signed(s, by="lanzhou"), NotEnrolled),
    "the third's name": (lambda s: signed(s, by=SHENZHEN), Forged),
    "no organization's name": (lambda s: signed(s, by="../../etc"), NotEnrolled),
    "another method": (changed(method="GET", body=None), Forged),
    "another path": (changed(url=URL.replace("receipts", "card")), Forged),
    "another query": (changed(url=URL.replace("chengdu", "shenzhen")), Forged),
    "another body": (changed(body=BODY + b" "), Forged),
    "a body that was none": (changed(body=b""), Forged),
    "yesterday's": (lambda s: signed(s, seconds=-_LATE), Forged),
    "tomorrow's": (lambda s: signed(s, seconds=_LATE), Forged),
    "ten years old": (lambda s: signed(s, days=-3650), Forged),
    "for another purpose": (lambda s: otherwise(s, tag="elsewhere"), Forged),
    "without a purpose": (lambda s: otherwise(s, tag=None), Forged),
    "covering nothing": (lambda s: otherwise(s, covered_component_ids=()), Forged),
    "not covering the query": (
        lambda s: otherwise(s, covered_component_ids=("@method", "@path")),
        Forged,
    ),
    "not covering the body": (lambda s: otherwise(s, body=None), Forged),
    "two signatures in one": (edited("Signature", lambda v: f"{v}, {v}"), Forged),
    "half a signature": (edited("Signature", lambda v: v[: len(v) // 2]), Forged),
    "a signature of noise": (edited("Signature", lambda _: "waystation=:AAAA:"), Forged),
    "input of noise": (edited("Signature-Input", lambda _: "pyhms=((((("), Forged),
    "input without end": (edited("Signature-Input", lambda v: v * 500), Forged),
    "another algorithm": (
        edited("Signature-Input", lambda v: v.replace("ed25519", "rsa-v1_5-sha256")),
        Forged,
    ),
    "a digest of noise": (edited("Content-Digest", lambda _: "sha-256=:AAAA:"), Forged),
    "a digest by MD5": (edited("Content-Digest", lambda _: "md5=:AAAA:"), Forged),
}


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_bad_request_is_not_let_in(here: Scene, name: str) -> None:
    make, fault = MISDEEDS[name]
    method, url, headers, body = make(here)

    with pytest.raises(fault):
        Gate(here.victim.relay).admit(method, url, headers, body)


def test_a_request_is_let_in_once(here: Scene) -> None:
    gate, request = Gate(here.victim.relay), signed(here)

    assert gate.admit(*request) == ORIGIN
    for _ in range(3):
        with pytest.raises(Forged, match="repeated"):
            gate.admit(*request)
    assert gate.admit(*signed(here)) == ORIGIN


def test_a_peer_does_not_use_up_anothers_requests(here: Scene) -> None:
    gate, ours = Gate(here.victim.relay), signed(here)
    third = Signer(SHENZHEN, here.third.keys, now).headers("POST", URL, BODY)

    assert gate.admit(*ours) == ORIGIN
    assert gate.admit("POST", URL, third, BODY) == SHENZHEN
    assert read_card(here.bad.card()).sender == ORIGIN
