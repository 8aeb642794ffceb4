"""审计问题: the questions of an audit, each answered in one call, by facts that are named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random, randrange
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from domain.records import digest
from sync.proof import Proof
from tests.api.support import Site, absent, cared_for, offered, person, until
from tests.api.test_headers import contact
from tests.api.test_problems import problem


def now() -> str:
    return datetime.now(UTC).isoformat()


def settled(site: Site) -> None:
    """Every read model stands where the ledger stands."""
    projector, head = site.node.projector, site.node.ledger.head
    until(lambda: all(projector.position(n) >= head for n in projector.projections))


def member_of(site: Site, outflow: str) -> str:
    return str(site.get(f"/outflows/{outflow}")["member"])


# Who was responsible, and who could see what.


def responsible(at: Site, member: str, on: str, **asked: Any) -> dict[str, Any]:
    answer: dict[str, Any] = at.get(f"/members/{member}/responsible", on=on, **asked)
    return answer


def test_a_member_is_asked_about_by_his_own_id(origin: Site, host: Site) -> None:
    outflow, _ = cared_for(origin, host)
    member = member_of(origin, outflow)
    settled(host)

    for site in (origin, host):
        away = responsible(site, member, "2025-06-01")
        home = responsible(site, member, "2099-01-01")
        assert (away["outflow"], away["care"]) == (outflow, host.code)
        assert home["affiliation"] == origin.code


def test_somebody_at_home_is_with_who_holds_his_file(origin: Site) -> None:
    member = origin.post("/members", person())["id"]

    answer = responsible(origin, member, "2099-01-01")

    assert (answer["outflow"], answer["care"]) == (None, origin.code)
    problem(origin.ask(f"/members/{uuid4()}/responsible", on="2025-01-01"), 404, "not-found")


def test_each_organization_that_saw_him_is_named_with_what_it_could_open(
    origin: Site, host: Site
) -> None:
    outflow, _ = cared_for(origin, host)
    member = member_of(origin, outflow)
    until(lambda: _saw(origin, member, "2099-01-01").keys() >= {host.code})

    seen = until(lambda: _signed(_saw(origin, member, "2099-01-01"), host.code))
    before = _saw(origin, member, "2025-06-01")

    ours, theirs = seen[origin.code], seen[host.code]
    assert {each["class"] for each in ours["classes"]} == {"identity", "contact"}
    assert {each["class"] for each in theirs["classes"]} == {"identity", "contact"}
    assert theirs["name"] == host.node.settings.name
    assert theirs["since"] <= now()
    assert host.code not in before  # The facts of 2025 were recorded today.
    told = _saw(host, member, "2099-01-01")
    assert told[origin.code]["how"].startswith("对方自己登记")
    assert {each["class"] for each in told[host.code]["classes"]} >= {"identity"}


def _saw(site: Site, member: str, on: str) -> dict[str, Any]:
    return {each["org"]: each for each in responsible(site, member, on)["saw"]}


def _signed(saw: dict[str, Any], org: str) -> dict[str, Any] | None:
    """Once the receipt for all of it has come."""
    return saw if saw[org]["since"] and len(saw[org]["classes"] or ()) > 1 else None


# What was known, to whom.


def test_a_peer_knows_from_when_it_signed(origin: Site, host: Site) -> None:
    outflow = offered(origin, host)
    path = f"/outflows/{outflow}/known"
    asked = {"on": "2025-06-01", "known_to": host.code}
    until(lambda: origin.ask(path, **asked).status_code == 200)
    before = now()
    host.post(f"/inflows/{outflow}/offers/1/accepted", _accepted())
    until(lambda: origin.get(path, on="2025-06-01")["care"] == host.code)
    until(lambda: origin.get(path, **asked)["care"] == host.code)

    assert origin.get(path, **asked, known_at=before)["care"] == origin.code
    problem(origin.ask(path, **asked, known_at="2020-01-01T00:00:00Z"), 404, "not-found")
    problem(origin.ask(path, on="2025-06-01", known_to="nobody"), 409, "peer-unknown")


def _accepted() -> dict[str, str]:
    return {"branch": "第一党支部", "liaison": "李干事", "accepted_on": "2025-03-10"}


def test_what_is_kept_from_a_peer_it_does_not_know(origin: Site, host: Site) -> None:
    _, outflow = absent(origin)  # Offered to nobody.
    settled(origin)

    problem(
        origin.ask(f"/outflows/{outflow}/known", on="2025-06-01", known_to=host.code),
        404,
        "not-found",
    )
    rows = origin.get("/history", outflow=outflow, known_to=host.code)
    assert rows["items"] == []


def test_a_fact_set_aside_by_a_peer_is_not_known_to_it(origin: Site, host: Site) -> None:
    """As its receipts say: everything up to a number is recorded, but for what stopped."""
    outflow = offered(origin, host)
    asked = {"outflow": outflow, "known_to": host.code}
    rows = until(lambda: origin.get("/history", **asked)["items"])
    lane = "peer = %(peer)s AND stream = %(stream)s"
    values = {"peer": host.code, "stream": outflow}

    with origin.node.database.connection() as conn:
        conn.execute(
            "INSERT INTO lane_refused (peer, number, stream, version, code, said, behind, told_at)"
            f" SELECT peer, number, stream, version, 'x', 'x', 0, now() FROM lane_out WHERE {lane}"
            " AND version = 2",
            values,
        )
        aside = origin.get("/history", **asked)["items"]
        conn.execute(f"UPDATE lane_refused SET resolved_at = now() WHERE {lane}", values)

    assert _versions(rows, outflow) == [1, 2]
    assert _versions(aside, outflow) == [1]
    until(lambda: origin.get("/history", **asked)["items"] == rows)


def _versions(rows: list[dict[str, Any]], stream: str) -> list[int]:
    return [row["version"] for row in rows if row["stream"] == stream]


def test_two_moments_differ_by_facts_that_are_named(origin: Site) -> None:
    member, outflow = absent(origin)
    settled(origin)
    before = now()
    origin.post("/contacts", contact(outflow, on="2025-04-01"))
    told = {"phone": "13900000009", "on": "2025-05-01"}
    receipt = origin.post(f"/members/{member}/phone", told)
    settled(origin)
    path = f"/outflows/{outflow}/known/changes"

    answer = origin.get(path, on="2025-06-01", **{"from": before, "to": now()})

    assert answer["differs"]["contacts"] == {"before": 0, "after": 1}
    assert answer["differs"]["phone"] == {"before": None, "after": "+8613900000009"}
    because = {each["field"]: each["fact"] for each in answer["because"]}
    assert because["contacts"]["topic"] == "contact.made"
    assert because["phone"]["position"] == receipt["position"]
    earlier = origin.get(path, on="2025-04-30", **{"from": before, "to": now()})
    assert "phone" not in earlier["differs"]
    reversed_ = {"from": now(), "to": before}
    problem(origin.ask(path, on="2025-06-01", **reversed_), 422, "moments-reversed")


# Attempts before a decision.


def test_the_attempts_before_a_decision_are_all_shown(origin: Site) -> None:
    member, outflow = absent(origin)
    calls = [
        origin.post("/contacts", contact(outflow, on=f"2025-0{n}-01", reached=n == 4))["id"]
        for n in (4, 5, 6)
    ]
    origin.post(f"/contacts/{calls[1]}/withdrawal", {"reason": "重复"})
    held = origin.post("/activities", {"on": "2025-04-15", "title": "主题党日"})["id"]
    origin.post(f"/activities/{held}/attendance", {"outflow": outflow, "mark": "present"})
    lost = origin.post(f"/outflows/{outflow}/lost", {"basis": "三个月未联系上"})
    late = origin.post("/contacts", contact(outflow, on="2025-07-01", reached=False))
    settled(origin)

    answer = origin.get(f"/members/{member}/attempts")

    assert answer["decision"]["topic"] == "outflow.contact_lost"
    assert answer["decision"]["said"]["basis"] == "三个月未联系上"
    assert (answer["attempts"], answer["reached"]) == (4, 1)
    shown = [(e["on"], e["reached"], e["withdrawn"]) for e in answer["items"]]
    assert shown == [
        ("2025-04-01", True, False),
        ("2025-05-01", False, True),
        ("2025-06-01", False, False),
        ("2025-07-01", False, False),
    ]
    assert [e["known_at_decision"] for e in answer["items"]] == [True, True, True, False]
    assert answer["items"][-1]["fact"]["position"] == late["position"]
    assert answer["last"]["contact"]["stream"] == calls[0]
    assert answer["last"]["attendance"]["said"]["mark"] == "present"
    assert answer["dues"]["letter"] is None
    assert "not recorded" in answer["dues"]["says"]
    named = origin.get(
        f"/members/{member}/attempts", decision=f"{lost['id']}/{lost['version']}", limit=3
    )
    rest = origin.get(f"/members/{member}/attempts", limit=3, cursor=named["next"])
    assert named["items"] + rest["items"] == answer["items"]
    assert rest["next"] is None


def test_without_a_decision_it_says_so(origin: Site) -> None:
    member, outflow = absent(origin)
    settled(origin)

    answer = origin.get(f"/members/{member}/attempts")

    assert (answer["decision"], answer["items"]) == (None, [])
    assert answer["says"].startswith("没有登记此类决定")
    path = f"/members/{member}/attempts"
    problem(origin.ask(path, decision=f"{outflow}/1"), 404, "not-a-decision")
    problem(origin.ask(path, decision="x"), 422, "invalid-request")
    problem(origin.ask(f"/members/{uuid4()}/attempts"), 404, "not-found")


# What came late.


def test_late_registrations_are_listed_with_who_was_asked(own: Site) -> None:
    own.post("/policies", {"terms": {"registration_days": 20}, "effective_from": "2024-01-01"})
    today = datetime.now(UTC).date()
    soon = (today - timedelta(days=3)).isoformat()
    ids = [absent(own, destination=where)[1] for where in ("四川省成都市武侯区", "广东省深圳市")]
    _, in_time = absent(own, left_on=soon)
    settled(own)

    answer = own.get("/late")

    assert sorted(row["outflow"] for row in answer["items"]) == sorted(ids)
    assert in_time not in ids
    row = answer["items"][0]
    assert row["register_by"] == "2025-03-21"
    assert row["days_late"]["registered"] == (_day(row["registered_on"]) - date(2025, 3, 21)).days
    assert row["reminded"] == []
    counted = {row["destination"]: row["registered_late"] for row in answer["by_destination"]}
    assert counted == {"四川省成都市": 1, "广东省深圳市": 1}
    assert "not recorded as facts" in answer["reminders"]
    only = own.get("/late", destination="四川", from_day="2025-01-01", to_day="2025-12-31")
    assert [row["outflow"] for row in only["items"]] == ids[:1]
    assert [e["destination"] for e in only["by_destination"]] == ["四川省成都市"]
    assert own.get("/late", from_day="2025-03-02")["items"] == []
    pages = [own.get("/late", limit=1)]
    while pages[-1]["next"]:
        pages.append(own.get("/late", limit=1, cursor=pages[-1]["next"]))
    assert [row for page in pages for row in page["items"]] == answer["items"]


def _day(text: str) -> date:
    return date.fromisoformat(text)


def test_who_was_asked_to_act_is_told_with_the_moment(origin: Site, host: Site) -> None:
    outflow = offered(origin, host)
    settled(origin)

    rows = [r for r in _all(origin, "/late") if r["outflow"] == outflow]

    (asked,) = rows[0]["reminded"]
    assert asked["whom"] == host.code
    assert asked["fact"]["topic"] == "outflow.offered"


def _all(site: Site, path: str, **asked: Any) -> Iterator[dict[str, Any]]:
    cursor: Any = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = site.get(path, **asked, **more)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return


# Figures, and what changed them.


def test_two_runs_of_the_same_day_differ_by_late_facts_that_are_named(own: Site) -> None:
    _, outflow = absent(own)
    own.post("/contacts", contact(outflow, on="2025-04-01"))
    settled(own)
    first = now()
    late = own.post("/contacts", contact(outflow, on="2025-04-02"))
    own.post("/contacts", contact(outflow, on="2025-08-01"))  # After the day that is asked about.
    settled(own)
    second, on = now(), "2025-06-30"

    runs = [own.get("/figures", on=on, known_at=moment)["cells"] for moment in (first, second)]
    answer = own.get("/figures/changes", on=on, **{"from": first, "to": second})

    assert _cells(runs[0])["contacts", "reached"] == 1
    assert _cells(runs[1])["contacts", "reached"] == 2
    (cell,) = answer["cells"]
    assert (cell["cell"], cell["before"], cell["after"]) == ("contacts", 1, 2)
    (cause,) = answer["items"]
    assert cause["fact"]["position"] == late["position"]
    assert cause["fact"]["person"] == "officer"
    assert "on_day" in cause
    assert own.get("/figures", on=on)["cells"] == runs[1]
    assert own.get("/figures", on=on, org="nobody")["cells"] == []
    assert "外" in answer["means"]["hosted"]


def _cells(cells: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(each["cell"], each["mark"]): each["amount"] for each in cells}


def test_causes_are_paged(own: Site) -> None:
    first = now()
    for _ in range(3):
        absent(own)
    settled(own)
    asked = {"on": "2025-06-30", "from": first, "to": now()}

    whole = own.get("/figures/changes", **asked)
    paged = list(_all(own, "/figures/changes", **asked, limit=1))

    assert len(whole["items"]) == 3
    assert paged == whole["items"]


# Why a value is what it is.

EXPLAINED = (
    ("roster", "/outflows", "outflow"),
    ("custody", "/custody", "outflow"),
    ("due", "/contacts/due", "outflow"),
    ("members", "/members", "member"),
    ("transfers", "/transfers", "transfer"),
)
BESIDE = {"name", "urgency"}
"""What an answer says of a turn beside it."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "path", "key"), EXPLAINED)
def test_every_value_of_every_list_is_what_its_facts_make_it(
    busy: Site, name: str, path: str, key: str
) -> None:
    open_ = {} if name in {"roster", "due", "members"} else {"open": False}
    rows = busy.get(path, **open_)["items"]
    assert rows

    for row in rows:
        for field in row.keys() - {"stale"}:
            answer = busy.get(f"/explain/{name}/{row[key]}/{quote(field)}")
            said, shown = answer["value"], row[field]
            if field == "turn":
                shown = shown and {n: v for n, v in shown.items() if n not in BESIDE}
            assert said == shown, (name, field)
            if said is not None:
                assert answer["because"][-1]["value"] == said
                last = answer["because"][-1]["fact"]
                assert answer["without"]["fact"] == {n: last[n] for n in ("stream", "version")}


@pytest.fixture(scope="module")
def busy(origin: Site, host: Site) -> Site:
    """The host's or the origin's node with a bit of everything."""
    outflow, inflow = cared_for(origin, host)
    member = member_of(origin, outflow)
    host.post(f"/inflows/{inflow}/details", {"phone": "13900007777", "address": "武侯区"})
    first = host.post("/contacts", contact(outflow, on="2025-04-01"))["id"]
    host.post("/contacts", contact(outflow, on="2025-05-01"))
    host.post(f"/contacts/{first}/correction", {"reached": False, "reason": "未接通"})
    origin.post(f"/members/{member}/identity", {"name": "张山", "reason": "写错"})
    other, away = absent(origin)
    origin.post(f"/outflows/{away}/return", {"returned_on": "2025-06-01"})
    origin.post("/transfers", {"member": other, "to": host.code})
    origin.post(
        "/policies", {"terms": {"contact_interval_days": 14}, "effective_from": "2025-01-01"}
    )
    until(lambda: len(origin.get("/history", outflow=outflow, topic="contact.")["items"]) == 3)
    settled(origin)
    return origin


def test_a_value_without_one_of_its_facts_is_what_it_was_before(origin: Site, host: Site) -> None:
    outflow, inflow = cared_for(origin, host)
    host.post(f"/inflows/{inflow}/details", {"phone": "13900006666"})
    until(lambda: _explain(origin, outflow, "phone")["value"] == "+8613900006666")

    answer = _explain(origin, outflow, "phone")
    first, last = answer["because"]

    assert (first["value"], last["value"]) == ("+8613900001234", "+8613900006666")
    assert (last["fact"]["by"], last["fact"]["person"]) == (host.code, "officer")
    assert answer["without"]["value"] == "+8613900001234"
    fact = f"{first['fact']['stream']}/{first['fact']['version']}"
    gone = _explain(origin, outflow, "phone", without=fact)["without"]
    assert (gone["row"], gone["value"]) == (False, None)
    record = origin.node.ledger.stream(UUID(last["fact"]["stream"]))[-1]
    assert digest(record) == last["fact"]["digest"]


def _explain(site: Site, outflow: str, field: str, **asked: str) -> dict[str, Any]:
    answer: dict[str, Any] = site.get(f"/explain/roster/{outflow}/{field}", **asked)
    return answer


def test_a_value_by_a_rule_names_the_edition(own: Site) -> None:
    own.post("/policies", {"terms": {"contact_interval_days": 14}, "effective_from": "2024-01-01"})
    own.post("/policies", {"terms": {"contact_interval_days": 30}, "effective_from": "2025-05-01"})
    _, outflow = absent(own)
    settled(own)

    then = own.get(f"/explain/due/{outflow}/next_due", on="2025-04-01")
    later = own.get(f"/explain/due/{outflow}/next_due", on="2025-06-01")

    assert (then["value"], then["policy"]["version"]) == ("2025-03-15", 1)
    assert (later["value"], later["policy"]["version"]) == ("2025-03-31", 2)
    assert later["policy"]["fact"]["topic"] == "policy.adopted"
    without = f"{later['policy']['fact']['stream']}/2"
    answer = own.get(f"/explain/due/{outflow}/next_due", on="2025-06-01", without=without)
    assert answer["without"]["value"] == "2025-03-15"


def test_what_is_asked_wrongly_is_refused_with_a_sentence(origin: Site) -> None:
    member, outflow = absent(origin)
    settled(origin)

    problem(origin.ask(f"/explain/roster/{uuid4()}/phone"), 404, "not-found")
    problem(origin.ask(f"/explain/roster/{outflow}/colour"), 404, "no-such-column")
    problem(origin.ask(f"/explain/nothing/{outflow}/phone"), 422, "invalid-request")
    alien = f"{uuid4()}/1"
    problem(origin.ask(f"/explain/roster/{outflow}/phone", without=alien), 404, "not-behind-it")
    problem(origin.ask(f"/explain/due/{member}/phone"), 404, "not-found")


def test_every_fact_of_an_answer_says_where_its_proof_is(origin: Site) -> None:
    member, outflow = absent(origin)
    settled(origin)
    record = origin.node.ledger.stream(UUID(outflow))[0]

    (fact,) = responsible(origin, member, "2025-06-01")["facts"]

    proof = Proof.read(origin.ask(fact["proof"]).content)
    assert fact["position"] == proof.index + 1
    assert fact["digest"] == digest(record)


# Pages while others write.


@pytest.mark.slow
def test_pages_neither_leave_out_nor_repeat_while_others_write(own: Site) -> None:
    seed = randrange(2**32)
    chance = Random(seed)
    outflows = [absent(own)[1] for _ in range(3)]
    member = member_of(own, outflows[0])
    stop = threading.Event()
    writers = [
        threading.Thread(target=_write, args=(own, outflows, Random(chance.random()), stop, name))
        for name in ("wang", "li", "zhao")
    ]
    for writer in writers:
        writer.start()
    marks = [
        {},
        {"subject": member},
        {"person": "li"},
        {"topic": "contact."},
        {"topic": "contact.made", "person": "wang"},
        {"org": own.code, "from_day": "2025-04-01", "to_day": "2025-09-30"},
        {"outflow": outflows[1], "person": "zhao"},
    ]
    try:
        read = [(m, _read_slowly(own, m, chance.randrange(1, 9), chance)) for m in marks]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    settled(own)
    for asked, seen in read:
        whole = [r["position"] for r in _all(own, "/history", **asked, limit=500)]
        assert seen == whole[: len(seen)], (seed, asked)
        assert len(seen) > 0, (seed, asked)


def _write(site: Site, outflows: list[str], chance: Random, stop: Any, name: str) -> None:
    while not stop.is_set():
        on = date(2025, 3, 2) + timedelta(days=chance.randrange(250))
        said = contact(chance.choice(outflows), on=on.isoformat())
        site.post("/contacts", said, Waystation_Person=name)


def _read_slowly(site: Site, asked: dict[str, Any], limit: int, chance: Random) -> list[int]:
    """A dozen pages, each asked for while the ledger grows."""
    seen: list[int] = []
    cursor = 0
    for _ in range(chance.randrange(8, 16)):
        page = site.get("/history", **asked, limit=limit, cursor=cursor)
        seen += [row["position"] for row in page["items"]]
        cursor = page["next"] or (seen[-1] if seen else cursor)
    return seen


def test_what_a_fact_has_caused_is_found_by_its_name(origin: Site, host: Site) -> None:
    outflow, inflow = cared_for(origin, host)
    settled(origin)

    (confirmed,) = origin.get("/history", causation=f"{inflow}/1")["items"]

    assert (confirmed["stream"], confirmed["topic"]) == (outflow, "outflow.confirmed")
    problem(origin.ask("/history", causation="nothing"), 422, "invalid-request")


# Limits.


def test_more_facts_than_one_answer_takes_are_refused(
    origin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outflow = absent(origin)
    settled(origin)
    path = f"/outflows/{outflow}/known"
    facts = len(origin.get(path, on="2025-06-01")["facts"])

    monkeypatch.setattr("api.audit.reading.FACTS_MAX", facts)
    assert len(origin.get(path, on="2025-06-01")["facts"]) == facts
    monkeypatch.setattr("api.audit.reading.FACTS_MAX", facts - 1)
    said = problem(origin.ask(path, on="2025-06-01"), 409, "too-many-facts")
    assert said["maximum"] == facts - 1


def test_moments_with_more_facts_between_than_are_compared_are_refused(
    origin: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outflow = absent(origin)
    settled(origin)
    asked = {"on": "2025-06-01", "from": now()}
    for _ in range(2):
        origin.post("/contacts", contact(outflow, on="2025-04-01"))
    settled(origin)
    path, asked = f"/outflows/{outflow}/known/changes", {**asked, "to": now()}

    monkeypatch.setattr("api.audit.auditor.BETWEEN_MAX", 2)
    assert origin.get(path, **asked)["differs"]["contacts"] == {"before": 0, "after": 2}
    monkeypatch.setattr("api.audit.auditor.BETWEEN_MAX", 1)
    problem(origin.ask(path, **asked), 409, "too-much-between")


def test_pages_that_look_through_little_are_short_and_go_on(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = now()
    ids = [absent(own, destination=where)[1] for where in ("成都市", "深圳市", "成都市", "西安市")]
    settled(own)
    changes = {"on": "2025-06-30", "from": first, "to": now()}
    whole = [
        list(_all(own, "/late", destination="成都")),
        list(_all(own, "/figures/changes", **changes)),
    ]

    monkeypatch.setattr("api.audit.late.LATE_LOOKED_MAX", 1)
    monkeypatch.setattr("api.audit.figures.LOOKED_MAX", 2)
    again = [
        list(_all(own, "/late", destination="成都")),
        list(_all(own, "/figures/changes", **changes)),
    ]

    assert again == whole
    assert {row["outflow"] for row in whole[0]} == {ids[0], ids[2]}
    assert len(whole[1]) == 4
