"""通道: a request is taken from an enrolled peer, as it was signed, now, and once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sync.envelope import Want
from sync.keys import NodeKeys, Pair
from sync.signed_http import COVERED, NONCES_MAX, WINDOW, Gate, Signer
from tests.api.support import Site, absent


def now() -> datetime:
    return datetime.now(UTC)


def lane(origin: Site, host: Site, after: int = 0, wait: float = 0.0) -> str:
    return f"{origin.url}/lanes/{host.code}?of={origin.code}&after={after}&wait={wait}"


def signer(site: Site, **span: float) -> Signer:
    return Signer(site.code, site.node.keys, lambda: now() + timedelta(**span))


def refused(answer: httpx.Response, code: str = "forged") -> None:
    assert answer.status_code == 403, answer.text
    assert answer.json()["type"] == f"/problems/{code}"


def test_a_peer_that_signs_is_answered(origin: Site, host: Site) -> None:
    url = lane(origin, host)

    answer = origin.http.get(url, headers=signer(host).headers("GET", url))

    assert answer.status_code == 200
    assert answer.content.startswith(b"waystation/batch/v1 ")


def test_without_a_signature_nothing_is_given(origin: Site, host: Site) -> None:
    refused(origin.http.get(lane(origin, host)))


@pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
def test_half_a_signature_is_none(origin: Site, host: Site, name: str) -> None:
    url = lane(origin, host)
    headers = signer(host).headers("GET", url)
    del headers[name]

    refused(origin.http.get(url, headers=headers))


def test_another_key_is_refused(origin: Site, host: Site) -> None:
    url = lane(origin, host)
    headers = Signer(host.code, NodeKeys.generate(), now).headers("GET", url)

    refused(origin.http.get(url, headers=headers))


def test_a_stranger_is_refused(origin: Site, host: Site) -> None:
    url = lane(origin, host)
    headers = Signer("stranger", NodeKeys.generate(), now).headers("GET", url)

    refused(origin.http.get(url, headers=headers), "not-enrolled")


@pytest.mark.parametrize(("said", "sent"), [("after=0", "after=1"), ("wait=0.0", "wait=9.0")])
def test_another_query_than_the_signed_one_is_refused(
    origin: Site, host: Site, said: str, sent: str
) -> None:
    url = lane(origin, host)
    headers = signer(host).headers("GET", url)

    refused(origin.http.get(url.replace(said, sent), headers=headers))


def test_another_method_than_the_signed_one_is_refused(origin: Site) -> None:
    url = f"{origin.url}/lanes/receipts"
    headers = signer(origin).headers("GET", url)

    assert origin.http.post(url, headers=headers).status_code == 403


def test_a_peer_is_not_given_what_is_for_another(origin: Site, host: Site) -> None:
    url = lane(origin, host).replace(f"/lanes/{host.code}", "/lanes/shenzhen")

    answer = origin.http.get(url, headers=signer(host).headers("GET", url))

    refused(answer, "misaddressed")


def test_a_request_made_to_another_node_is_not_taken_here(origin: Site, host: Site) -> None:
    url = lane(origin, host)
    elsewhere = url.replace(f"of={origin.code}", "of=lanzhou")
    headers = signer(host).headers("GET", elsewhere)

    refused(origin.http.get(elsewhere, headers=headers), "misaddressed")
    refused(origin.http.get(url, headers=headers))


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_request_from_another_time_is_refused(origin: Site, host: Site, sign: int) -> None:
    url = lane(origin, host)
    beyond = sign * (WINDOW.total_seconds() + 30)
    headers = signer(host, seconds=beyond).headers("GET", url)
    answer = origin.http.get(url, headers=headers)

    refused(answer, "clocks-differ")
    told = {name: datetime.fromisoformat(answer.json()[name]) for name in ("ours", "theirs")}
    assert abs((told["theirs"] - told["ours"]).total_seconds() - beyond) < 5


@pytest.mark.parametrize("sign", [-1, 1])
def test_clocks_may_differ_a_little(origin: Site, host: Site, sign: int) -> None:
    url = lane(origin, host)
    headers = signer(host, seconds=sign * 120).headers("GET", url)

    assert origin.http.get(url, headers=headers).status_code == 200


def test_the_same_request_again_is_refused(origin: Site, host: Site) -> None:
    url = lane(origin, host)
    headers = signer(host).headers("GET", url)
    assert origin.http.get(url, headers=headers).status_code == 200

    refused(origin.http.get(url, headers=headers))


def test_a_body_other_than_the_signed_one_is_refused(origin: Site, host: Site) -> None:
    url = f"{origin.url}/lanes/receipts"
    headers = signer(host).headers("POST", url, b"what was signed")

    refused(origin.http.post(url, content=b"what was sent", headers=headers))


def test_a_body_nobody_signed_is_refused(origin: Site, host: Site) -> None:
    url = f"{origin.url}/lanes/receipts"
    headers = signer(host).headers("POST", url)

    refused(origin.http.post(url, content=b"what was sent", headers=headers))


def test_a_signed_receipt_that_is_none_is_refused(origin: Site, host: Site) -> None:
    url, body = f"{origin.url}/lanes/receipts", b"hello"
    headers = signer(host).headers("POST", url, body)

    refused(origin.http.post(url, content=body, headers=headers), "malformed")


@pytest.mark.parametrize("parts", [(), ("@method",), ("@method", "@path")])
def test_a_signature_must_cover_what_counts(
    origin: Site, host: Site, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = lane(origin, host)
    monkeypatch.setattr("sync.signed_http.COVERED", parts)
    headers = signer(host).headers("GET", url)
    monkeypatch.setattr("sync.signed_http.COVERED", COVERED)

    refused(origin.http.get(url, headers=headers))


@pytest.mark.parametrize("part", ["tag", "created", "nonce"])
def test_a_signature_must_say_when_and_for_what(origin: Site, host: Site, part: str) -> None:
    url = lane(origin, host)
    headers = signer(host).headers("GET", url)
    kept = [p for p in headers["Signature-Input"].split(";") if not p.startswith(part)]
    headers["Signature-Input"] = ";".join(kept)

    refused(origin.http.get(url, headers=headers))


def test_the_nonces_remembered_have_a_bound(origin: Site) -> None:
    gate = Gate(origin.node.relay)
    for number in range(NONCES_MAX + 10):
        gate._must_be_new("chengdu", str(number))  # noqa: SLF001 - the bound is inside.

    assert len(gate._nonces) == NONCES_MAX  # noqa: SLF001


def test_a_want_is_read_and_no_evidence_against_anybody(origin: Site, host: Site) -> None:
    url = f"{origin.url}/lanes/receipts"
    before = origin.get("/quarantine", limit=500)
    want = host.node.inbox.want(origin.code)
    headers = signer(host).headers("POST", url, want)

    answer = origin.http.post(url, content=want, headers=headers)

    assert answer.status_code == 204
    assert origin.get("/quarantine", limit=500) == before


def test_a_want_of_another_key_is_refused(origin: Site, host: Site) -> None:
    url = f"{origin.url}/lanes/receipts"
    want = Want(sender=host.code, receiver=origin.code, after=0, at=now())
    forged = want.signed(NodeKeys.generate())
    headers = signer(host).headers("POST", url, forged)

    refused(origin.http.post(url, content=forged, headers=headers))


# Waiting for news.


def test_a_poll_answers_when_its_time_is_over(origin: Site, host: Site) -> None:
    head = origin.node.lanes.head_out(host.code).number
    url = lane(origin, host, after=head, wait=0.3)
    started = time.monotonic()

    answer = origin.http.get(url, headers=signer(host).headers("GET", url))

    assert answer.status_code == 200
    assert 0.25 < time.monotonic() - started < 5


def test_a_poll_answers_at_the_news(origin: Site, host: Site) -> None:
    _, outflow = absent(origin)
    head = origin.node.lanes.head_out(host.code).number
    url = lane(origin, host, after=head, wait=20.0)
    headers = signer(host).headers("GET", url)
    threading.Timer(0.3, origin.post, (f"/outflows/{outflow}/offers", {"host": host.code})).start()
    started = time.monotonic()

    answer = origin.http.get(url, headers=headers, timeout=25)

    assert outflow.encode() in answer.content
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=0&wait=56", "after=0&wait=nan"])
def test_a_poll_has_bounds(origin: Site, host: Site, query: str) -> None:
    url = f"{origin.url}/lanes/{host.code}?of={origin.code}&{query}"

    answer = origin.http.get(url, headers=signer(host).headers("GET", url))

    assert answer.status_code == 422


# While a key changes, both sign.


def changing(site: Site) -> NodeKeys:
    """The keys of a node that goes over to a pair nobody has heard of yet."""
    known = site.node.keys.signers[0]
    keys = NodeKeys(Pair.generate(), b"m" * 32, b"b" * 32)
    keys.signers = (*keys.signers, known)
    return keys


def test_a_request_signed_by_the_old_key_beside_the_new_is_answered(
    origin: Site, host: Site
) -> None:
    url = lane(origin, host)
    headers = Signer(host.code, changing(host), now).headers("GET", url)

    assert origin.http.get(url, headers=headers).status_code == 200
    refused(origin.http.get(url, headers=headers))


def test_a_receipt_signed_by_both_is_taken(origin: Site, host: Site) -> None:
    url, keys = f"{origin.url}/lanes/receipts", changing(host)
    body = host.node.inbox.receipt(origin.code)
    headers = Signer(host.code, keys, now).headers("POST", url, body)

    answer = origin.http.post(url, content=body, headers=headers)

    assert answer.status_code == 204, answer.text


def test_a_request_without_the_key_that_is_known_is_refused(origin: Site, host: Site) -> None:
    url, keys = lane(origin, host), changing(host)
    keys.signers = (keys.signers[0], Pair.generate())

    refused(origin.http.get(url, headers=Signer(host.code, keys, now).headers("GET", url)))
