"""查阅: every read is recorded before it is shown, and found by account and by person."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from api.access.readings import READINGS
from api.access.verifying import verify
from api.access.words import ACTS, CLASSES, FIELDS, KINDS, PURPOSES, named
from api.seals import seal
from api.storage.read import Read, persons
from api.storage.server import EmbeddedServer
from domain.catalogue import FACTS
from domain.records import PERSONAL
from domain.values import DataClass
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, absent, cared_for, meet, person, until
from tests.api.test_paper import by_name
from tests.api.test_problems import problem


def ask(at: Site, path: str, person: str | None = None, **said: Any) -> httpx.Response:
    """As a caller who says nothing but what is given."""
    headers = {"Waystation-Request": str(said.pop("request", uuid4()))}
    headers |= {"Waystation-Person": person} if person else {}
    headers |= {"Waystation-Purpose": said.pop("purpose")} if "purpose" in said else {}
    return httpx.get(at.url + path, params=said, headers=headers, trust_env=False, timeout=20)


def reads(at: Site, **narrowed: Any) -> list[dict[str, Any]]:
    """The rows that were put down, oldest first."""
    where = " AND ".join(f"{name} = %({name})s" for name in narrowed) or "true"
    rows = at.node.database.rows(f"SELECT * FROM access WHERE {where} ORDER BY number", narrowed)
    return [{**row, "subjects": persons(row["subjects"])} for row in rows]


@contextmanager
def unable(at: Site) -> Iterator[None]:
    """While nothing can be put down."""
    with at.node.database.connection() as conn:
        conn.execute("ALTER TABLE access RENAME TO away")
        try:
            yield
        finally:
            conn.execute("ALTER TABLE away RENAME TO access")


@pytest.fixture(scope="module")
def both(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """An origin, and a host that may open identity alone."""
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host, ("identity",))
        yield origin, host


# What is put down.


def test_a_read_says_who_what_whose_and_what_for(origin: Site) -> None:
    member, outflow = absent(origin)
    origin.ask("/outflows", after=origin.node.ledger.head)
    request = uuid4()

    shown = ask(origin, "/outflows", "wang", member=member, request=request).json()

    assert [row["outflow"] for row in shown["items"]] == [outflow]
    (row,) = reads(origin, request=request)
    assert (row["account"], row["role"]) == ("wang", "officer")
    assert (row["what"], row["act"], row["purpose"]) == ("roster", "view", "care")
    assert (row["subjects"], row["count"]) == ([UUID(member)], 1)
    assert set(row["fields"]) == shown["items"][0].keys()
    assert row["outcome"] == "shown"
    assert abs(row["at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_list_is_one_row_with_the_number_and_digest_of_all_in_it(origin: Site) -> None:
    members = {absent(origin)[0] for _ in range(3)}
    origin.ask("/outflows", after=origin.node.ledger.head)
    request = uuid4()

    shown = ask(origin, "/outflows", request=request, limit=500).json()["items"]

    (row,) = reads(origin, request=request)
    assert row["count"] == len(shown) >= 3
    assert members <= {str(each) for each in row["subjects"]}
    assert len(row["whose"]) == 32


def test_a_purpose_that_is_said_counts(origin: Site) -> None:
    request = uuid4()

    assert ask(origin, "/outflows", purpose="inspection", request=request).status_code == 200

    assert reads(origin, request=request)[0]["purpose"] == "inspection"


@pytest.mark.parametrize("path", ["/history", "/members/{m}/trail/phone", "/access"])
def test_an_auditors_question_says_what_for(origin: Site, path: str) -> None:
    request = uuid4()

    said = problem(ask(origin, path.format(m=uuid4()), request=request), 422, "purpose-needed")

    assert said["known"] == PURPOSES
    assert reads(origin, request=request) == []


@pytest.mark.parametrize("purpose", ["", "curiosity", "Audit", "%E5%AE%A1"])
def test_a_purpose_of_ones_own_is_none(origin: Site, purpose: str) -> None:
    problem(ask(origin, "/outflows", purpose=purpose), 422, "purpose-needed")


def test_a_request_that_is_no_uuid_is_refused(origin: Site) -> None:
    problem(ask(origin, "/outflows", request="7"), 422, "bad-header")


def test_who_looked_for_what_is_not_there_is_recorded_too(origin: Site) -> None:
    request = uuid4()

    problem(ask(origin, f"/outflows/{uuid4()}", request=request), 404, "not-found")

    (row,) = reads(origin, request=request)
    assert (row["outcome"], row["count"], row["fields"]) == ("not-found", 0, [])


def test_what_cannot_be_recorded_is_not_shown(origin: Site) -> None:
    known = person(name="鹿不宣")
    member = origin.post("/members", known)["id"]
    paths = [f"/members/{member}/trail/name", f"/outflows/{absent(origin)[1]}", "/members"]
    origin.ask("/members", after=origin.node.ledger.head)
    with unable(origin):
        for path in paths:
            answer = ask(origin, path, purpose="audit")

            said = problem(answer, 503, "read-unrecorded")
            assert "查阅无法登记" in said["title"]
            assert known["name"] not in answer.text
            assert "items" not in said
        # What is about nobody is shown all the same, and so is a command's receipt.
        assert ask(origin, "/health").status_code == 200
        origin.post("/members", person())

    assert ask(origin, paths[0], purpose="audit").json()[0]["value"] == known["name"]


def test_an_answer_does_not_leave_before_its_record(
    origin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outflow = absent(origin)
    record, written, asked = origin.node.access.record, Event(), Event()

    def slowly(read: Read) -> None:
        asked.set()
        assert written.wait(20)
        record(read)

    monkeypatch.setattr(origin.node.access, "record", slowly)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, origin, f"/outflows/{outflow}")
        assert asked.wait(20)
        with pytest.raises(TimeoutError):
            answer.result(0.3)
        written.set()

        assert answer.result(20).json()["outflow"] == outflow


def test_no_value_is_logged(origin: Site, caplog: pytest.LogCaptureFixture) -> None:
    known = person(name="鹿无声", address="鹿鸣巷九号")
    member = origin.post("/members", known)["id"]
    with caplog.at_level(logging.DEBUG):
        ask(origin, f"/members/{member}/trail/name", purpose="audit")
        ask(origin, f"/members/{member}/who-saw")
        with unable(origin):
            ask(origin, f"/members/{member}/trail/name", purpose="audit")

    assert known["name"] not in caplog.text
    assert known["number"] not in caplog.text


# What an account has read.


@pytest.mark.slow
def test_all_that_an_account_viewed_exported_or_printed_in_a_time(
    both: tuple[Site, Site],
) -> None:
    origin, host = both
    account = f"li-{uuid4().hex[:6]}"
    cared_for(origin, host)
    transfer = by_name(origin)
    before = datetime.now(UTC)
    ask(origin, "/outflows", account)
    ask(origin, f"/transfers/{transfer}/letter", account)
    headers = {"Waystation-Person": account}
    origin.http.post(f"/bundles/{host.code}", params={"again": True}, headers=headers)
    between = datetime.now(UTC)
    ask(origin, "/custody", account)
    ask(origin, "/outflows", "somebody else")

    def found(**narrowed: Any) -> list[tuple[str, str]]:
        asked = {"account": account, "purpose": "audit", **narrowed}
        shown = ask(origin, "/access", "auditor", **asked).json()
        return [(row["what"], row["act"]) for row in reversed(shown["items"])]

    all_ = [("roster", "view"), ("letter", "print"), ("bundle", "export"), ("custody", "view")]
    assert found() == all_
    assert found(since=before, until=between) == all_[:3]
    assert found(since=between) == all_[3:]
    assert found(act="print") == all_[1:2]
    assert found(until=before) == []


def test_pages_of_reads_neither_omit_nor_repeat_while_reads_are_added(own: Site) -> None:
    for _ in range(7):
        ask(own, "/outflows", "li")
    there = {row["number"] for row in reads(own)}
    cursor, found = None, []

    while True:
        page = own.get("/access", limit=2, **({"cursor": cursor} if cursor else {}))
        found += [row["number"] for row in page["items"]]
        cursor = page["next"]
        ask(own, "/outflows", "wang")
        if cursor is None:
            break

    assert sorted(found) == sorted(there)


def test_asking_who_has_read_is_itself_a_read(own: Site) -> None:
    ask(own, "/access", "auditor", purpose="audit")

    (row,) = own.get("/access")["items"]
    assert (row["account"], row["what"], row["purpose"]) == ("auditor", "access", "audit")


# Who has read a person's data.


def test_everybody_who_read_or_received_a_members_data(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    other = absent(origin)[0]
    member = origin.get(f"/outflows/{outflow}")["member"]
    origin.ask("/outflows", after=origin.node.ledger.head)
    ask(origin, "/outflows", "li", member=member)
    ask(origin, "/outflows", "li", member=other)
    ask(origin, f"/members/{member}/trail/phone", "wang", purpose="correction")
    until(lambda: all(p["out_acknowledged"] == p["out_head"] for p in origin.get("/peers")))

    found = origin.get(f"/members/{member}/access")

    newest = [(row["account"], row["what"], row["purpose"]) for row in found["items"][:2]]
    assert newest == [("wang", "trail", "correction"), ("li", "roster", "care")]
    assert found["items"][0]["fields"] == ["phone"]
    (received,) = found["received"]
    assert (received["peer"], received["name"]) == (host.code, HOST["name"])
    assert [each["class"] for each in received["classes"]] == ["identity"]
    assert received["facts"] == received["confirmed"] > 2
    assert {"member", "outflow"} <= set(received["kinds"])
    assert received["since"] <= received["classes"][0]["since"] <= received["newest"]
    assert origin.get(f"/members/{other}/access")["received"] == []


def test_who_was_found_first_is_the_same_person_later(both: tuple[Site, Site]) -> None:
    origin, host = both
    said = {"name": "鹿先行", "origin": origin.code, "on": "2025-04-01"}
    inflow = host.post("/inflows/found", said)["id"]
    until(lambda: [c for c in origin.get("/claims")["items"] if c["inflow"] == inflow])
    ask(origin, "/claims", "early")
    member, outflow = absent(origin)
    origin.post(f"/claims/{inflow}/recognized", {"outflow": outflow})
    origin.post(f"/outflows/{outflow}/offers", {"host": host.code, "claim": inflow})
    path = f"/inflows/{outflow}/offers/1/accepted"
    accepted = {"branch": "第一党支部", "liaison": "李干事", "accepted_on": "2025-04-10"}
    until(lambda: host.ask(f"/outflows/{outflow}").status_code == 200)
    host.post(path, accepted)
    until(lambda: origin.get(f"/outflows/{outflow}")["carer"] == host.code)
    origin.ask("/history", after=origin.node.ledger.head)

    found = origin.get(f"/members/{member}/access", limit=500)["items"]

    assert "early" in {row["account"] for row in found}


def test_a_member_is_told_who_saw_his_data_in_words(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    origin.ask("/outflows", after=origin.node.ledger.head)
    ask(origin, "/outflows", "wang", member=member)

    found = ask(origin, f"/members/{member}/who-saw", "wang").json()

    first = found["seen"][0]
    assert first["sentence"].startswith(f"{datetime.now(UTC):%Y}年")
    assert (
        "，酒泉市委组织部的wang因“日常管理”查看了“花名册”中您的姓名、公民身份号码、"
        in first["sentence"]
    )
    (received,) = found["received"]
    assert f"起，{HOST['name']}收到您的" in received["sentence"]
    assert received["sentence"].endswith("；可以看到您的身份信息。")
    # Asked for himself, which is a read as well.
    assert ask(origin, f"/members/{member}/who-saw").json()["seen"][0]["purpose"] == "本人查询"


def test_the_line_tells_the_member_the_same(both: tuple[Site, Site], run: Run) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]

    said = run("who-saw", member, "--url", origin.url, "--limit", 1)

    assert said.code == 0
    assert f"{HOST['name']}收到您的" in said.out


def test_whom_nobody_looked_at_is_told_so(own: Site, run: Run) -> None:
    member = own.post("/members", person())["id"]

    assert "没有人看过" in run("who-saw", member, "--url", own.url).out


def test_the_line_asks_by_account_and_says_what_for(own: Site, run: Run) -> None:
    ask(own, "/outflows", "li")
    where = ("--url", own.url)

    assert "请说明查阅的用途" in run("access", "list", *where).sentence
    said = run("access", "list", "--account", "li", "--purpose", "audit", *where)
    assert '"what": "roster"' in said.out
    assert run("access", "verify", *where).code == 0


# In the ledger.


@pytest.mark.slow
def test_what_was_read_is_sealed_when_the_node_stops(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as site:
        ask(site, "/outflows", "li")
        site.stop()

        found = verify(site.node.database)
        assert (found.rows, found.sealed_to, found.broken) == (1, 1, None)


def test_tampering_is_told_by_the_node(own: Site, run: Run) -> None:
    for _ in range(3):
        ask(own, "/outflows", "li")
    seal(own.node, everything=True)
    assert own.get("/access/verified") == {"rows": 3, "sealed_to": 3, "broken": None}
    with own.node.database.connection() as conn:
        conn.execute("ALTER TABLE access DISABLE TRIGGER access_stays")
        conn.execute("DELETE FROM access WHERE number = 2")

    assert own.get("/access/verified")["broken"]["number"] == 2
    assert run("access", "verify", "--url", own.url).code == 1


# The words.


def test_every_personal_field_has_a_word_for_the_person() -> None:
    fields = {name for fields in PERSONAL.values() for name, _ in fields}

    assert fields - FIELDS.keys() == set()
    assert CLASSES.keys() == set(DataClass)
    assert named(["name", "found_name", "outflow"]) == "姓名"
    assert named(["outflow"]) == "办理情况"


def test_every_kind_of_record_about_a_person_has_a_word() -> None:
    about = {topic.split(".")[0] for topic, fields in PERSONAL.items() if fields}

    assert about - KINDS.keys() == set()
    assert KINDS.keys() <= {topic.split(".")[0] for topic in FACTS}


def test_readings_are_a_closed_list() -> None:
    assert {reading.act for reading in READINGS.values()} <= ACTS.keys()
    assert {r.purpose for r in READINGS.values() if r.purpose} <= PURPOSES.keys()
    assert all("\u4e00" <= reading.says[0] <= "\u9fff" for reading in READINGS.values())


def test_the_interface_says_which_questions_need_a_purpose(origin: Site) -> None:
    paths = origin.get("/openapi.json")["paths"]

    def header(path: str) -> dict[str, Any] | None:
        named = (p for p in paths[path]["get"].get("parameters", []) if p["in"] == "header")
        return next((p for p in named if p["name"] == "Waystation-Purpose"), None)

    everyday, audit = header("/outflows"), header("/history")
    assert everyday is not None
    assert audit is not None
    assert (everyday["required"], audit["required"]) == (False, True)
    assert everyday["schema"]["enum"] == list(PURPOSES)
    assert header("/health") is None
