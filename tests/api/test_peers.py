"""登记对方: a card counts if it is whole, and if its fingerprint was compared."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.enrolment import CARD_MAX
from domain.values import utc_now
from sync.card import make_card, read_card
from sync.keys import NodeKeys
from tests.api.conftest import Run
from tests.api.support import Site, until
from tests.api.test_problems import problem
from tests.sync.pen import sign


def standing(at: Site, code: str) -> dict[str, Any] | None:
    """Where both directions of a lane stand, once somebody carries it."""
    (peer,) = (p for p in at.get("/peers") if p["peer"] == code)
    return peer if peer["lane"] else None


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
    assert (peer["grants"], peer["pact"]["state"]) == ([], "未约定")


def test_with_classes_a_pact_is_concluded_in_the_same_act(own: Site) -> None:
    shown, fingerprint = card("lanzhou")
    said = {"grants": ["identity"], "until": "2099-12-31", "document": "酒组约〔2026〕3号"}
    asked = {"card": shown, "fingerprint": fingerprint}

    problem(own.send("/peers", {**asked, **said}), 422, "pact-dates")
    assert own.get("/peers") == []
    del said["until"]
    own.post("/peers", {**asked, **said})

    (peer,) = own.get("/peers")
    assert peer["grants"] == ["identity"]
    assert peer["pact"]["days_left"] == own.node.settings.pact_days - 1
    assert peer["pact"]["agreed"]["purposes"] == ["identify", "care"]
    assert peer["pact"]["agreed"]["document"] == said["document"]
    assert peer["their_pact"]["state"] == "未约定"


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


# Every way in which a card is wrong says so in its own words.

KEYS = NodeKeys.generate()
ADDRESS = "http://lanzhou.example"


def altered(**said: Any) -> str:
    """A card that says something else, and is signed all the same."""
    body = json.loads(card("lanzhou", KEYS)[0].partition("\n")[2]) | said
    return sign(KEYS, "lanzhou", json.dumps(body).encode(), "card").decode()


WEAK = base64.b64encode(bytes(32)).decode()
WRONG: dict[str, tuple[str, str, str]] = {
    "nothing": ("", "header", "It is no card"),
    "garbage": ("hello", "header", "It is no card"),
    "an image": ("\ufffdPNG\r\n" * 50, "header", "It is no card"),
    "lines": ("\n" * 100, "header", "It is no card"),
    "cut in its first line": (card("lanzhou", KEYS)[0][:60], "header", "not complete"),
    "cut in its middle": (card("lanzhou", KEYS)[0][:-200], "body", "cut off"),
    "another message": (card("lanzhou")[0].replace("/card/", "/want/"), "kind", "another message"),
    "of the future": (card("lanzhou")[0].replace("/v1 ", "/v9 "), "version", "newer"),
    "altered": (card("lanzhou")[0].replace(ADDRESS, "http://evil.example"), "signature", "not fit"),
    "another's name": (card("lanzhou")[0].replace(" lanzhou ", " zhangye "), "sender", "two org"),
    "a weak key": (altered(verify_key=WEAK), "verify_key", "checked"),
    "half a key": (altered(verify_key="AAAA"), "verify_key", "checked"),
    "nothing seals": (altered(sealing_key=WEAK), "sealing_key", "sealed"),
    "another suite": (altered(suite="SM2"), "suite", "algorithms"),
    "no address": (altered(address="兰州市委"), "address", "http://host:port"),
    "a file": (altered(address="file:///etc/passwd"), "address", "http://host:port"),
    "a password": (altered(address="http://a:b@lanzhou.example"), "address", "password"),
    "a path": (altered(address="http://lanzhou.example/node"), "address", "follow host"),
    "a slash": (altered(address="http://lanzhou.example/"), "address", "follow host"),
    "a query": (altered(address="http://lanzhou.example?x=1"), "address", "follow host"),
    "no port": (altered(address="http://lanzhou.example:0"), "address", "port"),
    "a port too far": (altered(address="http://lanzhou.example:99999"), "address", "no address"),
    "nowhere": (altered(address="http://0.0.0.0:8700"), "address", "Nobody can reach"),
    "a blank": (altered(address="http://lan zhou.example"), "address", "host or port"),
}


@pytest.mark.parametrize("shown", WRONG)
def test_a_wrong_card_says_what_is_wrong_and_what_to_do(origin: Site, shown: str) -> None:
    wire, where, words = WRONG[shown]

    answer = origin.send("/peers", {"card": wire, "fingerprint": card("lanzhou", KEYS)[1]})

    said = problem(answer, 422, "bad-card")
    assert said["where"] == where
    assert words in said["because"]
    assert re.search(r"[\u4e00-\u9fff]", said["because"])
    assert said["mend"]
    assert "lanzhou" not in {peer["peer"] for peer in origin.get("/peers")}


def test_our_own_card_is_not_a_peers(own: Site) -> None:
    wire, fingerprint = own.card()

    answer = own.send("/peers", {"card": wire, "fingerprint": fingerprint})

    assert "own" in problem(answer, 422, "peer-is-self")["mend"]


def test_the_same_code_with_another_key_is_refused_with_the_way_out(own: Site) -> None:
    for expected in (201, 409):
        wire, fingerprint = card("lanzhou")
        answer = own.send("/peers", {"card": wire, "fingerprint": fingerprint})
        assert answer.status_code == expected

    assert "waystation rekey" in problem(answer, 409, "card-changed")["mend"]


@pytest.mark.parametrize("typed", ["upper", "spaces", "dashes"])
def test_a_fingerprint_may_be_typed_as_it_is_heard(own: Site, typed: str) -> None:
    wire, fingerprint = card("lanzhou")
    ways = {
        "upper": fingerprint.upper(),
        "spaces": f" {fingerprint.replace('-', ' ')} ",
        "dashes": fingerprint.replace("-", "–"),
    }

    assert own.send("/peers", {"card": wire, "fingerprint": ways[typed]}).status_code == 201


def test_a_file_of_any_bytes_is_refused_on_the_line(own: Site, run: Run, tmp_path: Path) -> None:
    (tmp_path / "card").write_bytes(bytes(range(256)))

    assert "名片不正确" in run("enrol", tmp_path / "card", "1a2b", "--url", own.url).sentence


def test_a_card_has_a_limit(origin: Site) -> None:
    answer = origin.send("/peers", {"card": "x" * (CARD_MAX + 1), "fingerprint": "x"})

    problem(answer, 422, "invalid-request")


def test_a_class_of_data_nobody_knows_is_refused(origin: Site) -> None:
    shown, fingerprint = card("lanzhou")

    answer = origin.send(
        "/peers", {"card": shown, "fingerprint": fingerprint, "grants": ["everything"]}
    )

    assert problem(answer, 422, "invalid-request")["errors"][0]["pointer"] == "/body/grants/0"


def test_where_both_directions_stand_is_shown(origin: Site, host: Site) -> None:
    peer = until(lambda: standing(origin, host.code))

    assert peer["out_acknowledged"] <= peer["out_head"]
    assert peer["out_lag"]["facts"] == peer["out_head"] - peer["out_acknowledged"]
    assert peer["in_lag"] == {"facts": 0, "seconds": 0.0}
    assert peer["lane"]["peer"] == host.code
    assert {"failures", "last_error", "retry_in_s"} <= peer["lane"].keys()
    assert peer["channel"] == "http"
