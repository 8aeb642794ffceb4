"""纸面: letters and slips printed at one node, scanned at another, and what is recorded by them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.paper.page import capital, capital_year
from api.storage.server import EmbeddedServer
from domain.admission import Admission
from domain.member import Member
from domain.transfer import Transfer
from sync.keys import NodeKeys
from sync.paper import Paper, read
from tests.api.conftest import HOST, Run, fresh
from tests.api.scanner import scan_page
from tests.api.support import Site, meet, person, until
from tests.api.test_commands import DUES, SLIP, WHY, civil_today
from tests.api.test_problems import problem

LETTER = {"channel": "letter", "letter": "酒组介〔2026〕第17号", **DUES}
LOST_ON = {"letter": "酒组介〔2026〕第18号", "basis": "支部证明和本人申请"}


@pytest.fixture(scope="module")
def apart(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """Two organizations that have enrolled each other, and that no network joins yet."""
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        for here, there in ((origin, host), (host, origin)):
            card, fingerprint = there.card()
            by_file = {"card": card, "fingerprint": fingerprint, "lane": "bundle"}
            here.post("/peers", {**by_file, "grants": ["identity", "contact"]})
        yield origin, host


@pytest.fixture
def origin(apart: tuple[Site, Site]) -> Site:
    return apart[0]


@pytest.fixture
def host(apart: tuple[Site, Site]) -> Site:
    return apart[1]


def sent(origin: Site, known: dict[str, Any] | None = None, **to: str) -> str:
    """A transfer on its way by letter."""
    member = origin.post("/members", known or person())["id"]
    transfer = str(origin.post("/transfers", {"member": member, **to})["id"])
    for level, one in (("branch", "甲"), ("committee", "乙")):
        path = f"/transfers/{transfer}/approvals"
        origin.post(path, {"level": level}, Waystation_Person=one)
    origin.post(f"/transfers/{transfer}/dispatches", LETTER)
    return transfer


def by_name(origin: Site, known: dict[str, Any] | None = None) -> str:
    return sent(origin, known, to_name="中共某某市委组织部")


def printed(origin: Site, transfer: str) -> tuple[str, str]:
    """The texts of the two codes, read off the page."""
    return scan_page(origin.ask(f"/transfers/{transfer}/letter").text)


def slip(text: str, **more: str) -> dict[str, str]:
    return {
        "text": text,
        "admitted_on": civil_today(),
        "returned_on": civil_today(),
        **SLIP,
        **more,
    }


def admission(text: str, number: str) -> dict[str, str]:
    return {"text": text, "number": number, "branch": "第一党支部", "admitted_on": civil_today()}


def carry(here: Site, there: Site) -> None:
    """A bundle from one to the other, by stick."""
    made = here.send(f"/bundles/{there.code}")
    if made.status_code == 200:
        taken = there.http.post("/bundles", content=made.content)
        assert taken.json()["refused"] == [], taken.text


def scanned(site: Site, text: str, **more: str) -> httpx.Response:
    return site.send("/paper", {"text": text, **more})


# The page.


def test_a_letter_has_its_three_parts_and_what_the_form_asks_for(origin: Site) -> None:
    known = person(ethnic="汉族", name="阿卜杜拉·买买提")

    page = origin.ask(f"/transfers/{by_name(origin, known)}/letter")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    parts = re.findall(r'<section class="(\w+)">(.*?)</section>', page.text)
    assert [name for name, _ in parts] == ["stub", "letter", "slip"]
    for _, part in parts:
        assert LETTER["letter"] in part
        assert known["name"] in part
    letter = parts[1][1]
    for said in (known["number"], "汉族", "正式党员", "中共某某市委组织部", "叁拾", "贰零贰伍"):
        assert said in letter
    assert known["number"] not in parts[0][1] + parts[2][1]


def test_a_page_loads_nothing_and_says_no_more_than_was_meant(origin: Site) -> None:
    known = person(name='<script src="//x">')

    page = origin.ask(f"/transfers/{by_name(origin, known)}/letter")

    assert not re.search(r"https?://|<script|<link|@import|url\(", page.text)
    assert "&lt;script src=&quot;//x&quot;&gt;" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_capital_numerals_are_those_of_the_form() -> None:
    assert [capital(n) for n in (1, 10, 15, 30, 90)] == ["壹", "壹拾", "壹拾伍", "叁拾", "玖拾"]
    assert capital_year(2026) == "贰零贰陆"


def test_only_a_letter_that_is_under_way_is_printed(origin: Site) -> None:
    lost = by_name(origin)
    origin.post(f"/transfers/{lost}/letter/lost", WHY)

    problem(origin.ask(f"/transfers/{lost}/letter"), 409, "transfer-not-there")
    problem(origin.ask(f"/transfers/{UUID(int=1)}/letter"), 404, "not-found")


def test_a_transfer_online_has_no_letter(origin: Site, host: Site) -> None:
    member = origin.post("/members", person())["id"]
    transfer = origin.post("/transfers", {"member": member, "to": host.code})["id"]
    for level, one in (("branch", "甲"), ("committee", "乙")):
        path = f"/transfers/{transfer}/approvals"
        origin.post(path, {"level": level}, Waystation_Person=one)
    origin.post(f"/transfers/{transfer}/dispatches", DUES)

    problem(origin.ask(f"/transfers/{transfer}/letter"), 422, "no-letter")


# The slip, at the origin.


def test_a_scanned_slip_completes_the_transfer_from_paper(origin: Site) -> None:
    transfer = by_name(origin)
    _, code = printed(origin, transfer)

    seen = scanned(origin, code).json()
    origin.post("/paper/slip", slip(code, branch="第二党支部"))

    assert (seen["kind"], seen["transfer"], seen["state"]) == ("slip", transfer, "在途")
    assert origin.get(f"/transfers/{transfer}")["state"] == "办结"
    (completed,) = [
        fact
        for fact in origin.node.ledger.facts(UUID(transfer))
        if isinstance(fact, Transfer.Completed)
    ]
    assert completed.meta.author.channel == completed.meta.source.kind == "paper"
    assert completed.meta.source.reference == f"回执 {LETTER['letter']} #1"


def test_a_slip_that_is_scanned_again_is_harmless_and_says_so(origin: Site) -> None:
    _, code = printed(origin, by_name(origin))
    origin.post("/paper/slip", slip(code))

    for again in (scanned(origin, code), origin.send("/paper/slip", slip(code))):
        assert "无需再办" in problem(again, 409, "slip-used")["title"]


def test_the_same_request_again_is_the_same_slip(origin: Site) -> None:
    _, code = printed(origin, by_name(origin))
    once, again = (
        origin.post("/paper/slip", slip(code), Idempotency_Key="回执 17") for _ in range(2)
    )

    assert again == once


def test_a_slip_may_come_after_the_letters_last_day(
    origin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = by_name(origin)
    _, code = printed(origin, transfer)
    later = origin.node.clock() + timedelta(days=40)
    monkeypatch.setattr(origin.node, "clock", lambda: later)

    assert scanned(origin, code).status_code == 200


def test_the_slip_of_a_letter_that_was_replaced_names_the_one_that_counts(origin: Site) -> None:
    transfer = by_name(origin)
    _, old = printed(origin, transfer)
    origin.post(f"/transfers/{transfer}/letter/lost", WHY)
    told = problem(scanned(origin, old), 409, "letter-void")
    assert (told["state"], told["replaced_by"]) == ("介绍信遗失", None)
    origin.post(f"/transfers/{transfer}/letter/reissued", LOST_ON)

    told = problem(origin.send("/paper/slip", slip(old)), 409, "letter-void")

    assert (told["letter"], told["replaced_by"]) == (LETTER["letter"], LOST_ON["letter"])
    _, new = printed(origin, transfer)
    origin.post("/paper/slip", slip(new))


def test_the_slip_of_a_peer_comes_from_its_node(origin: Site, host: Site) -> None:
    _, code = printed(origin, sent(origin, to=host.code))

    problem(origin.send("/paper/slip", slip(code)), 409, "slip-from-peer")


def test_what_is_written_on_a_slip_is_checked_as_ever(origin: Site) -> None:
    _, code = printed(origin, by_name(origin))

    early = origin.send("/paper/slip", slip(code, admitted_on="2020-01-01"))

    problem(early, 422, "admitted-outside-validity")


# The letter, at a receiver with a node.


def test_a_letter_is_admitted_before_any_lane_has_brought_its_transfer(
    origin: Site, host: Site
) -> None:
    known = person()
    transfer = sent(origin, known, to=host.code)
    code, _ = printed(origin, transfer)

    seen = scanned(host, code).json()
    receipt = host.post("/paper/admitted", admission(code, known["number"]))

    assert (seen["sender"], seen["to"], seen["state"]) == (origin.code, host.code, None)
    stream = Admission.id_of(UUID(transfer), host.code)
    assert receipt["id"] == str(stream)
    (fact,) = host.node.ledger.facts(stream)
    assert isinstance(fact, Admission.Admitted)
    assert (str(fact.transfer), fact.dispatch) == (transfer, 1)
    assert fact.meta.source.kind == "paper"


def test_the_online_facts_meet_the_same_admission_and_nothing_doubles(
    origin: Site, host: Site
) -> None:
    known = person()
    transfer = sent(origin, known, to=host.code)
    code, _ = printed(origin, transfer)
    host.post("/paper/admitted", admission(code, known["number"]))

    for here, there in ((host, origin), (origin, host)):
        carry(here, there)
        until(lambda: origin.get(f"/transfers/{transfer}")["state"] == "已接收")
    until(lambda: host.ask(f"/transfers/{transfer}").json().get("state") == "已接收")
    again = {"branch": "第一党支部", "admitted_on": civil_today()}
    answered = host.send(f"/admissions/{transfer}/dispatches/1/admitted", again)
    problem(answered, 409, "dispatch-not-waiting")
    host.post(f"/admissions/{transfer}/slip", SLIP)
    carry(host, origin)
    until(lambda: origin.get(f"/transfers/{transfer}")["state"] == "办结")
    carry(origin, host)

    def files() -> list[str]:
        return [row["keeper"] for row in host.get("/members", limit=500)["items"]]

    until(lambda: host.code in files())
    assert host.get("/quarantine") == origin.get("/quarantine") == []


def test_an_admission_by_a_letter_that_was_void_is_answered_as_void(
    origin: Site, host: Site
) -> None:
    known = person()
    transfer = sent(origin, known, to=host.code)
    code, _ = printed(origin, transfer)
    origin.post(f"/transfers/{transfer}/letter/lost", WHY)
    host.post("/paper/admitted", admission(code, known["number"]))

    carry(host, origin)

    until(lambda: origin.get(f"/transfers/{transfer}")["voided_admissions"])
    carry(origin, host)
    until(lambda: host.ask(f"/transfers/{transfer}").json().get("voided_admissions"))
    assert host.get("/quarantine") == origin.get("/quarantine") == []


def test_a_letter_that_is_scanned_twice_is_answered_already(origin: Site, host: Site) -> None:
    known = person()
    code, _ = printed(origin, sent(origin, known, to=host.code))
    host.post("/paper/admitted", admission(code, known["number"]))

    for again in (
        scanned(host, code),
        host.send("/paper/admitted", admission(code, known["number"])),
    ):
        problem(again, 409, "dispatch-answered")


def test_a_letter_that_was_replaced_is_void_as_soon_as_it_is_known(
    origin: Site, host: Site
) -> None:
    transfer = sent(origin, to=host.code)
    code, _ = printed(origin, transfer)
    origin.post(f"/transfers/{transfer}/letter/lost", WHY)
    origin.post(f"/transfers/{transfer}/letter/reissued", LOST_ON)
    carry(origin, host)

    told = problem(scanned(host, code), 409, "letter-void")

    assert told["replaced_by"] == LOST_ON["letter"]
    assert "replaced_by" in told["mend"]


def test_a_letter_that_has_expired_is_not_admitted_and_says_what_to_do(
    origin: Site, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = person()
    code, _ = printed(origin, sent(origin, known, to=host.code))
    later = host.node.clock() + timedelta(days=31)
    monkeypatch.setattr(host.node, "clock", lambda: later)

    for late in (
        scanned(host, code),
        host.send("/paper/admitted", admission(code, known["number"])),
    ):
        assert "重新开具" in problem(late, 409, "letter-expired")["mend"]


def test_a_letter_for_somebody_else_does_not_admit(origin: Site, host: Site) -> None:
    code, _ = printed(origin, sent(origin, to=host.code))

    other = host.send("/paper/admitted", admission(code, person()["number"]))

    problem(other, 409, "another-person")


@pytest.mark.slow
def test_a_letter_for_another_organization_is_not_admitted(
    origin: Site, host: Site, postgres: EmbeddedServer
) -> None:
    with fresh(postgres, code="xian", name="西安站", kind="station") as xian:
        card, fingerprint = origin.card()
        xian.post("/peers", {"card": card, "fingerprint": fingerprint, "lane": "bundle"})
        code, its_slip = printed(origin, sent(origin, to=host.code))

        assert problem(scanned(xian, code), 403, "letter-for-another")["to"] == host.code
        assert problem(scanned(xian, its_slip), 403, "slip-for-another")["sender"] == origin.code


def test_a_letter_that_names_no_code_is_read_and_registered_by_hand(
    origin: Site, host: Site
) -> None:
    known = person()
    code, _ = printed(origin, by_name(origin, known))

    seen = scanned(host, code).json()

    assert (seen["to"], seen["to_name"]) == (None, "中共某某市委组织部")
    assert "请核对" in seen["next"]
    told = host.send("/paper/admitted", admission(code, known["number"]))
    problem(told, 409, "letter-by-name")


def test_a_letter_by_name_opens_a_file_and_the_person_keeps_his_id(
    origin: Site, host: Site
) -> None:
    known = person()
    transfer = by_name(origin, known)
    code, _ = printed(origin, transfer)

    receipt = host.post("/paper/registered", {"text": code, "member": known})

    (fact,) = host.node.ledger.facts(UUID(str(receipt["id"])))
    assert isinstance(fact, Member.Registered)
    assert str(fact.meta.subject) == origin.get(f"/transfers/{transfer}")["member"]
    assert fact.meta.source.reference == f"介绍信 {LETTER['letter']} #1"
    again = host.send("/paper/registered", {"text": code, "member": known})
    problem(again, 409, "member-known")
    other = {"text": code, "member": person()}
    problem(host.send("/paper/registered", other), 409, "another-person")


def test_a_letter_with_our_code_opens_no_file_beside_the_transfer(origin: Site, host: Site) -> None:
    known = person()
    code, _ = printed(origin, sent(origin, known, to=host.code))

    told = host.send("/paper/registered", {"text": code, "member": known})

    problem(told, 409, "letter-by-code")


@pytest.mark.slow
def test_a_card_alone_opens_a_file_but_does_not_say_who_is_who(
    origin: Site, postgres: EmbeddedServer
) -> None:
    known = person()
    code, _ = printed(origin, by_name(origin, known))
    with fresh(postgres, code="lanzhou", name="兰州市委组织部") as stranger:
        said = {"text": code, "card": origin.card()[0], "member": known}
        file = UUID(str(stranger.post("/paper/registered", said)["id"]))

        assert stranger.node.ledger.look_up(Member, file).person == file


def test_whoever_scans_the_other_part_is_told(origin: Site, host: Site) -> None:
    known = person()
    code, its_slip = printed(origin, sent(origin, known, to=host.code))

    problem(scanned(origin, code), 409, "letter-is-ours")
    problem(origin.send("/paper/slip", slip(code)), 422, "not-this-part")
    unfit = {"text": its_slip, "member": known}
    problem(host.send("/paper/registered", unfit), 422, "not-this-part")
    problem(
        host.send("/paper/admitted", admission(its_slip, known["number"])), 422, "not-this-part"
    )


# Whose word it is.


@pytest.mark.slow
def test_a_letter_of_a_stranger_is_checked_with_its_card(
    origin: Site, postgres: EmbeddedServer
) -> None:
    code, _ = printed(origin, by_name(origin))
    card, fingerprint = origin.card()
    with fresh(postgres, code="lanzhou", name="兰州市委组织部") as stranger:
        told = problem(scanned(stranger, code), 409, "paper-from-stranger")
        assert "--card" in told["mend"]

        seen = scanned(stranger, code, card=card).json()
        others, _ = stranger.card()

        assert (seen["enrolled"], seen["fingerprint"]) == (False, fingerprint)
        problem(scanned(stranger, code, card=others), 422, "bad-card")
        problem(scanned(stranger, code, card="名片"), 422, "bad-card")


def test_a_letter_that_another_has_signed_is_refused(origin: Site, host: Site) -> None:
    code, _ = printed(origin, by_name(origin))
    said = _said(origin, code)

    forged = said.signed(origin.code, NodeKeys.generate())

    for site in (origin, host):
        problem(scanned(site, forged), 422, "paper-altered")
    problem(scanned(host, said.signed(host.code, NodeKeys.generate())), 422, "paper-altered")


def _said(site: Site, text: str) -> Paper:
    return read(text).open(site.node.keys.verify_key)


@pytest.fixture
def pair(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """Two organizations of one test's own, acquainted."""
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host)
        yield origin, host


@pytest.mark.slow
@pytest.mark.parametrize("how", ["rotate", "revoke"])
def test_a_paper_outlives_the_rotation_of_its_key_but_not_its_revocation(
    pair: tuple[Site, Site], how: str
) -> None:
    origin, host = pair
    code, _ = printed(origin, sent(origin, to=host.code))
    _, its_slip = printed(origin, by_name(origin))
    before = origin.get("/keys")["fingerprint"]
    two = {"reason": "密钥所在的电脑被盗", "second_person": "李"} if how == "revoke" else {}
    origin.post(f"/keys/{how}", two, Waystation_Person="王")
    until(lambda: host.get("/peers")[0]["fingerprint"] != before)

    answers = scanned(host, code), scanned(origin, its_slip)

    if how == "rotate":
        assert [each.status_code for each in answers] == [200, 200]
    else:
        for each in answers:
            assert "重新打印" in problem(each, 409, "paper-key-over")["mend"]


@pytest.mark.slow
def test_what_is_sent_after_a_rotation_is_not_signed_by_the_key_before(
    pair: tuple[Site, Site],
) -> None:
    origin, host = pair
    code, _ = printed(origin, sent(origin, to=host.code))
    said = _said(origin, code)
    old = NodeKeys(origin.node.keys.signers[0], b"m" * 32, b"b" * 32)
    before = origin.get("/keys")["fingerprint"]
    origin.post("/keys/rotate")
    until(lambda: host.get("/peers")[0]["fingerprint"] != before)

    tomorrow = said.sent_on + timedelta(days=2)
    late = said.model_copy(update={"sent_on": tomorrow}).signed(origin.code, old)

    problem(scanned(host, late), 409, "paper-key-over")


# Text that is none, or not whole, or newer.


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("https", "not-a-paper"),
        ("二维码", "not-a-paper"),
        ("WAYSTATION", "not-a-paper"),
        ("WAYSTATION.X.JIUQUAN.AAAA", "not-a-paper"),
        ("WAYSTATION.1.9.AAAA", "not-a-paper"),
        ("WAYSTATION.1.JIUQUAN.AA.AA", "not-a-paper"),
        ("WAYSTATION.1.JIUQUAN." + "A" * 960, "not-a-paper"),
        ("A" * 5000, "not-a-paper"),
        ("WAYSTATION.1.", "paper-cut"),
        ("WAYSTATION.1.JIUQUAN", "paper-cut"),
        ("WAYSTATION.1.JIUQUAN.AAAA", "paper-cut"),
        ("WAYSTATION.1.JIUQUAN.A0A0", "paper-altered"),
        ("WAYSTATION.2.JIUQUAN.ANYTHING.AT.ALL", "paper-newer"),
    ],
)
def test_a_bad_text_says_what_is_wrong_with_it(origin: Site, text: str, code: str) -> None:
    told = problem(scanned(origin, text), 422, code)

    assert told["title"].endswith(".")
    assert re.search("[一-龥].*[a-z]", told["mend"])


def test_a_text_that_is_cut_off_anywhere_is_refused(origin: Site) -> None:
    code, _ = printed(origin, by_name(origin))

    for length in range(1, len(code), 7):
        told = scanned(origin, code[:length]).json()
        assert told["type"] in {
            f"/problems/{c}" for c in ("not-a-paper", "paper-cut", "paper-altered")
        }


# The command line.


def test_an_officer_prints_scans_and_records_by_the_command_line(
    origin: Site, host: Site, run: Run, tmp_path: Path
) -> None:
    known, file = person(), tmp_path / "介绍信.html"
    transfer = sent(origin, known, to=host.code)

    assert run("letter", transfer, "--out", file, "--url", origin.url).code == 0
    code, its_slip = scan_page(file.read_text(encoding="utf-8"))

    assert file.stat().st_mode & 0o777 == 0o600
    assert (
        "已有的文件不覆盖" in run("letter", transfer, "--out", file, "--url", origin.url).sentence
    )
    assert '"在途"' in run("scan", its_slip, "--url", origin.url).out
    words = ("--number", known["number"], "--branch", "一支部", "--admitted-on", civil_today())
    assert run("scan", code, *words, "--url", host.url).code == 0
    assert "无需重复办理" in run("scan", code, "--url", host.url).sentence


def test_an_officer_opens_a_file_by_the_command_line(origin: Site, host: Site, run: Run) -> None:
    known = person()
    code, _ = printed(origin, by_name(origin, known))
    at = ("--url", host.url)

    assert run("scan", code, "--member", json.dumps(known), *at).code == 0
    assert "建档" in run("scan", code, "--member", json.dumps(known), *at).sentence
    assert "JSON" in run("scan", code, "--member", "{", *at).err


def test_an_officer_records_a_slip_by_the_command_line(origin: Site, run: Run) -> None:
    transfer = by_name(origin)
    page = run("letter", transfer, "--url", origin.url).out
    _, code = scan_page(page)
    days = ("--admitted-on", civil_today(), "--returned-on", civil_today())

    said = run(
        "scan", code, *days, "--handler", "钱干事", "--phone", "13900001234", "--url", origin.url
    )

    assert said.code == 0, said.err
    assert origin.get(f"/transfers/{transfer}")["state"] == "办结"
