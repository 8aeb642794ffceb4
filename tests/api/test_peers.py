"""登记对方: a card counts if it is whole, and if its fingerprint was compared."""

from __future__ import annotations

import pytest

from domain.values import utc_now
from sync.envelope import make_card, read_card
from sync.keys import NodeKeys
from tests.api.support import Site
from tests.api.test_problems import problem


def card(code: str, keys: NodeKeys | None = None) -> tuple[str, str]:
    """A card and its fingerprint."""
    made = make_card(keys or NodeKeys.generate(), code, code, f"http://{code}.example", utc_now())
    return made.decode(), read_card(made).fingerprint


def test_a_card_whose_fingerprint_was_compared_is_enrolled(own: Site) -> None:
    shown, fingerprint = card("lanzhou")

    answer = own.send("/peers", {"card": shown, "fingerprint": fingerprint})

    assert answer.status_code == 201
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    (peer,) = own.get("/peers")
    assert (peer["peer"], peer["fingerprint"]) == ("lanzhou", fingerprint)
    assert peer["grants"] == ["identity", "contact"]


def test_the_wrong_fingerprint_is_refused(origin: Site) -> None:
    shown, fingerprint = card("lanzhou")
    _, other = card("lanzhou")

    answer = origin.send("/peers", {"card": shown, "fingerprint": other})

    assert problem(answer, 422, "fingerprint-differs")["shown"] == fingerprint
    assert "lanzhou" not in {peer["peer"] for peer in origin.get("/peers")}


@pytest.mark.parametrize(
    ("before", "after"),
    [("lanzhou.example", "evil.example"), ('"lanzhou"', '"zhangye"'), ("v1 ", "v2 ")],
)
def test_a_forged_card_is_refused(origin: Site, before: str, after: str) -> None:
    shown, fingerprint = card("lanzhou")
    assert before in shown

    answer = origin.send(
        "/peers", {"card": shown.replace(before, after, 1), "fingerprint": fingerprint}
    )

    problem(answer, 422, "bad-card")


def test_the_keys_of_another_cannot_be_put_on_a_card(origin: Site) -> None:
    shown, fingerprint = card("lanzhou")
    head, body = shown.split("\n", 1)
    theirs, _ = card("zhangye")
    name, _, _ = head.split(" ")
    _, _, signature = theirs.split("\n", 1)[0].split(" ")

    forged = f"{name} lanzhou {signature}\n{body}"
    answer = origin.send("/peers", {"card": forged, "fingerprint": fingerprint})

    problem(answer, 422, "bad-card")


@pytest.mark.parametrize("shown", ["", "hello", "waystation/card/v1 lanzhou xxxx\n{}", "\n" * 100])
def test_what_is_no_card_is_refused(origin: Site, shown: str) -> None:
    problem(origin.send("/peers", {"card": shown, "fingerprint": "x"}), 422, "bad-card")


def test_a_card_has_a_limit(origin: Site) -> None:
    answer = origin.send("/peers", {"card": "x" * 4001, "fingerprint": "x"})

    problem(answer, 422, "invalid-request")


def test_a_class_of_data_nobody_knows_is_refused(origin: Site) -> None:
    shown, fingerprint = card("lanzhou")

    answer = origin.send(
        "/peers", {"card": shown, "fingerprint": fingerprint, "grants": ["everything"]}
    )

    assert problem(answer, 422, "invalid-request")["errors"][0]["pointer"] == "/body/grants/0"


def test_where_both_directions_stand_is_shown(origin: Site, host: Site) -> None:
    (peer,) = (p for p in origin.get("/peers") if p["peer"] == host.code)

    assert peer["out_acknowledged"] <= peer["out_head"]
    assert peer["lane"]["peer"] == host.code
    assert {"failures", "last_error", "retry_in_s"} <= peer["lane"].keys()
