"""无一遗漏: every route and every command that shows somebody's data leaves its record.

Each route is asked about one person whose values occur nowhere else. What comes back is searched:
where one is found, the read must be recorded, with whose it was and under which field it stood. So
a new route need only exist to be tried; one that forgets its mark fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import typer.main
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from api.access.reading import reading_of, shows_nobody
from api.access.readings import READINGS
from api.cli import app as command_line
from api.gate import FOR_PEERS, FROM_HERE
from api.routes.commands import COMMANDS
from api.storage.read import persons
from api.storage.server import EmbeddedServer
from domain.outflow import Outflow
from domain.values import utc_now
from tests.api.conftest import HOST, Run, fresh
from tests.api.scanner import scan_page
from tests.api.support import ACCEPTANCE, Site, meet, person, until
from tests.api.test_commands import DUES
from tests.api.test_imports import LEDGER
from tests.api.test_peers import card
from tests.support.narrow import refusing

CANARY = {
    "name": "鹿衔芝",
    "phone": "13911171171",
    "address": "四川省成都市鹿鸣巷七十一号",
    "branch": "鹿鸣村党支部",
    "family": "配偶鹿某务农",
}
STORED = {**CANARY, "phone": "+8613911171171"}
FAR = "lanzhou"
"""A peer that is sent files."""

CALL = {"on": "2025-05-01", "method": "电话", "by": "李干事", "reached": True}


@dataclass
class Scene:
    """Two nodes that know of one person all that a node can."""

    origin: Site
    host: Site
    number: str
    words: dict[str, Any]
    """What stands for the names in a path."""
    code: str
    """The text of the letter's code."""

    @property
    def values(self) -> set[str]:
        return {*STORED.values(), self.number}

    @property
    def canaries(self) -> set[str]:
        """The values, and what the person is called here."""
        return self.values | {str(each) for each in self.person}

    @property
    def person(self) -> set[UUID]:
        return {UUID(str(self.words[name])) for name in ("member", "subject", "forgotten")}


def _found(origin: Site, host: Site) -> str:
    """Somebody whom the host found: he is known by a pseudonym of the host's."""
    said = {"name": "鹿野", "origin": origin.code, "on": "2025-04-01"}
    inflow = host.post("/inflows/found", said)["id"]
    until(lambda: origin.get("/claims")["items"])
    return str(inflow)


def _person(origin: Site, host: Site) -> dict[str, Any]:
    known = person(**CANARY)
    member = origin.post("/members", known)["id"]
    left = {"member": member, "left_on": "2025-03-01", "destination": "四川省成都市"}
    outflow = origin.post("/outflows", left)["id"]
    origin.post(f"/outflows/{outflow}/offers", {"host": host.code})
    until(lambda: host.ask(f"/outflows/{outflow}").status_code == 200)
    host.post(f"/inflows/{outflow}/offers/1/accepted", ACCEPTANCE)
    until(lambda: host.get(f"/outflows/{outflow}")["carer"] == host.code)
    subject = origin.node.ledger.look_up(Outflow, UUID(outflow)).person
    day = host.post("/activities", {"on": "2025-05-01", "title": "学习"})
    mark = {"outflow": outflow, "mark": "present"}
    host.post(f"/activities/{day['id']}/attendance", mark)
    until(lambda: origin.http.post(f"/peers/{host.code}/reconcile").json()["equal"])
    with refusing("contact.made"):
        host.post("/contacts", {"outflow": outflow, **CALL})
        (parked,) = until(lambda: origin.get("/quarantine"))
    return {
        "member": member,
        "outflow": outflow,
        "subject": subject,
        "known": known,
        "quarantined": parked["id"],
    }


def _forgotten(origin: Site) -> dict[str, str]:
    """Somebody whose membership is over, and part of whose data are kept by law."""
    member = origin.post("/members", person())["id"]
    over = {"how": "died", "document": "证明", "on": "2020-01-01"}
    origin.post(f"/members/{member}/end", over)
    asked = {"member": member, "ground": "deceased", "classes": ["contact"]}
    erasure = origin.post("/erasures", asked)["id"]
    law = {"reason": "争议", "basis": "PIPL 47", "until": "2099-01-01", "purposes": ["审计"]}
    origin.post(f"/erasures/{erasure}/restriction", law)
    until(lambda: origin.get("/retention"))
    return {"forgotten": member, "erasure": erasure}


def _transfer(origin: Site, host: Site, member: str) -> str:
    transfer = origin.post("/transfers", {"member": member, "to": host.code})["id"]
    for level, one in (("branch", "甲"), ("committee", "乙")):
        path = f"/transfers/{transfer}/approvals"
        origin.post(path, {"level": level}, Waystation_Person=one)
    sent = {"channel": "letter", "letter": "第71号", **DUES}
    origin.post(f"/transfers/{transfer}/dispatches", sent)
    return str(transfer)


@pytest.fixture(scope="module")
def scene(postgres: EmbeddedServer) -> Iterator[Scene]:
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host)
        origin.post("/policies", {"effective_from": "2025-01-01", "terms": {}})
        _found(origin, host)
        words = _person(origin, host)
        words |= _forgotten(origin)
        words["transfer"] = _transfer(origin, host, words["member"])
        shown, fingerprint = card(FAR)
        by_file = {"card": shown, "fingerprint": fingerprint, "lane": "bundle"}
        origin.post("/peers", by_file)
        told = {"to": FAR, "purpose": "慰问"}
        origin.post(f"/outflows/{words['outflow']}/share", told)
        page = origin.ask(f"/transfers/{words['transfer']}/letter").text
        code, _ = scan_page(page)
        words |= {"field": "phone", "stream": words["outflow"], "version": 1, "org": origin.code}
        words |= {"number": words["quarantined"], "name": "roster"}
        words["key"] = words["outflow"]
        words["position"] = _position(origin, words["outflow"])
        until(lambda: origin.get("/attendance")["items"])
        words["path"] = f"000.p/{min(origin.node.ledger.head, 255)}"
        origin.node.lanes.keep_contradiction(FAR, "split-view", utc_now(), b"{}")
        words["contradiction"] = origin.node.lanes.contradictions()[0].id
        until(lambda: host.ask(f"/transfers/{words['transfer']}").status_code == 200)
        yield Scene(origin, host, words["known"]["number"], words, code)


def _position(site: Site, stream: str) -> int:
    rows = site.node.database.rows(
        "SELECT notification_id AS n FROM stored_events WHERE originator_id = %(id)s LIMIT 1",
        {"id": UUID(stream)},
    )
    return int(rows[0]["n"])


BETWEEN = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}

QUERIES: dict[str, dict[str, Any]] = {
    "/outflows/{outflow}/responsible": {"on": "2025-06-01"},
    "/outflows/{outflow}/known": {"on": "2025-06-01"},
    "/outflows/{outflow}/known/changes": {"on": "2025-06-01", **BETWEEN},
    "/members/{member}/responsible": {"on": "2025-06-01"},
    "/figures": {"on": "2025-06-01"},
    "/figures/changes": {"on": "2025-06-01", **BETWEEN},
    "/history": {"limit": 500},
    "/history/evidence": {"opened": ["identity", "contact"]},
    "/quarantine/retry": {"peer": HOST["code"]},
    "/imports/{kind}": {"name": LEDGER.name},
    "/peers/{peer}/reconcile": {"dry_run": True},
}
"""What a path must be asked with besides."""

COMMAND_PATHS = {path for path, _, _ in COMMANDS} | {"/contacts/batch"}
ELSEWHERE = {
    "/peers": "POST: enrols a peer",
    "/peers/rekey": "records a card",
    "/keys/rotate": "changes keys",
    "/keys/revoke": "changes keys",
    "/paper/admitted": "a command",
    "/paper/registered": "a command",
    "/paper/slip": "a command",
    "/bundles": "takes a file in",
    "/erasures": "POST: asks to erase",
    "/erasures/{erasure}/grant": "a command",
    "/fence/renewal": "begins a new epoch",
    "/fence/lanes/{peer}": "fetches facts of ours",
}
"""Posts that record something, and answer with its receipt or report."""


def evidence(scene: Scene) -> bytes:
    """A file that opens what the person is called."""
    return scene.origin.ask("/history/evidence", opened=["identity", "contact"]).content


def body(scene: Scene, path: str) -> dict[str, Any]:
    """How a POST is asked."""
    if path == "/imports/{kind}":
        return {"content": LEDGER.read_bytes()}
    if path == "/history/report":
        return {"content": evidence(scene)}
    opened = {"member": scene.words["forgotten"], "field": "phone", "purpose": "审计"}
    said = {
        "/members/find": {"number": scene.number},
        "/phones/find": {"phone": CANARY["phone"]},
        "/paper": {"text": scene.code},
        "/erasures/{erasure}/consultations": opened,
    }
    return {"json": said.get(path, {})}


def at(scene: Scene, route: APIRoute) -> Site:
    """A letter is scanned where it is to be handed in."""
    return scene.host if route.path == "/paper" else scene.origin


def asked(scene: Scene, route: APIRoute, request: UUID) -> httpx.Response:
    """Ask a route about the person; a name in its path that is not known here fails the test."""
    peer = FAR if route.path.startswith("/bundles") else scene.host.code
    path = route.path_format.format(**scene.words, peer=peer, kind="outflows")
    (method,) = route.methods
    sent: dict[str, Any] = {"params": QUERIES.get(route.path), "timeout": 60}
    if method == "POST":
        sent |= body(scene, route.path)
    named = {"Waystation-Request": str(request), "Waystation-Purpose": "audit"}
    return at(scene, route).http.request(method, path, headers=named, **sent)


def reads(site: Site, request: UUID) -> list[dict[str, Any]]:
    rows = site.node.database.rows("SELECT * FROM access WHERE request = %(r)s", {"r": request})
    return [{**row, "subjects": persons(row["subjects"])} for row in rows]


def fields_with(found: Any, canaries: set[str], *above: str) -> Iterator[tuple[str, ...]]:
    """The names under which a value of the person stands, from the outermost in."""
    if isinstance(found, dict):
        for name, value in found.items():
            yield from fields_with(value, canaries, *above, name)
    elif isinstance(found, list):
        for each in found:
            yield from fields_with(each, canaries, *above)
    elif isinstance(found, str) and any(canary in found for canary in canaries):
        yield above


def must_be_recorded(scene: Scene, route: APIRoute) -> bool:
    """Ask, look for the person, and look for the record; whether he was shown."""
    request = uuid4()
    answer = asked(scene, route, request)
    assert answer.is_success, (route.path, answer.text)
    shown = {each for each in scene.canaries if each in answer.text}
    found = reads(at(scene, route), request)
    if not shown and reading_of(route) is None:
        return False

    (row,) = found
    assert row["outcome"] == "shown"
    assert row["purpose"] == "audit"
    assert scene.person & set(row["subjects"]), (route.path, "does not say whose")
    assert row["count"] == len(row["subjects"])
    if answer.headers["content-type"] == "application/json":
        # What is asked for one field answers with its value under that name.
        asked_for = {scene.words["field"]} if "{field}" in route.path else set()
        for names in fields_with(answer.json(), scene.values):
            assert set(row["fields"]) & {*names, *asked_for}, (route.path, names)
    else:
        assert row["fields"]
    said = json.dumps(row, default=str, ensure_ascii=False)
    assert [value for value in scene.values if value in said] == []
    return True


def routes(site: Site) -> list[APIRoute]:
    """What people may ask, but for commands, which answer with a receipt."""
    return [
        route
        for route in site.app.routes
        if isinstance(route, APIRoute)
        and (route.path.startswith(FROM_HERE) or not route.path.startswith(FOR_PEERS))
        and not ("POST" in route.methods and route.path in {*COMMAND_PATHS, *ELSEWHERE})
    ]


NAMES_NOBODY = {"/alarms", "/inspection"}
NAMES_A_STRANGER = NAMES_NOBODY | {"/claims", "/quarantine/{number}/retry", "/quarantine/retry"}


@pytest.mark.slow
def test_every_route_that_shows_the_person_records_it(scene: Scene) -> None:
    tried = {route.path for route in routes(scene.origin)} - NAMES_A_STRANGER

    shown = {
        route.path
        for route in routes(scene.origin)
        if route.path in tried and must_be_recorded(scene, route)
    }

    marked = {r.path for r in routes(scene.origin) if reading_of(r) is not None}
    assert shown == marked - NAMES_A_STRANGER


@pytest.mark.parametrize("path", sorted(NAMES_A_STRANGER))
def test_what_is_about_others_or_nobody_is_recorded_all_the_same(scene: Scene, path: str) -> None:
    (route,) = [route for route in routes(scene.origin) if route.path == path]
    request = uuid4()

    answer = asked(scene, route, request)

    assert answer.status_code == 200, answer.text
    (row,) = reads(scene.origin, request)
    assert row["what"] in READINGS
    # Whom a host has found is known by the host's pseudonym.
    assert (row["count"] > 0) == (path not in NAMES_NOBODY)


def test_a_route_that_forgets_fails(scene: Scene) -> None:
    router = APIRouter()

    @router.get("/planted")
    async def planted(_: Request) -> dict[str, str]:
        return {"name": CANARY["name"]}

    (route,) = [each for each in router.routes if isinstance(each, APIRoute)]
    with pytest.raises(TypeError, match="/planted"):
        reading_of(route)

    shows_nobody(planted)
    scene.origin.app.router.routes.append(route)
    with pytest.raises(ValueError, match="not enough values"):
        must_be_recorded(scene, route)
    scene.origin.app.router.routes.remove(route)


# The command line.

OFFLINE = {
    "demo": "speaks to nodes of its own",
    "init": "makes a folder",
    "serve": "is the node",
    "certificate": "looks at a file",
    "verify": "looks at a file",
    "log check": "looks at a file",
    "check-peer": "speaks to somebody else's node as a peer",
}


def commands() -> list[str]:
    def words(command: Any, *before: str) -> Iterator[str]:
        for name, each in getattr(command, "commands", {}).items():
            yield from words(each, *before, name)
        if not hasattr(command, "commands"):
            yield " ".join(before)

    return list(words(typer.main.get_command(command_line)))


def lines(scene: Scene, tmp_path: Path) -> dict[str, list[list[object]]]:
    """Every command as it is typed about the person."""
    w = scene.words
    theirs = tmp_path / "host.card"
    text, fingerprint = scene.host.card()
    theirs.write_text(text)
    audit = ["--purpose", "audit"]
    proved = tmp_path / "b.evidence"
    proved.write_bytes(evidence(scene))
    between = [f for name, at in BETWEEN.items() for f in (f"--{name}", at)]
    boards = ("roster", "custody", "alarms", "claims", "due", "transfers", "members", "history")
    return {
        "card": [[]],
        "enrol": [[theirs, fingerprint, "--grant", "identity", "--grant", "contact"]],
        "keys": [["show"]],
        "rekey": [[theirs, fingerprint, "--because", "x", "--second", "y"]],
        "letter": [[w["transfer"]]],
        "scan": [[scene.code]],
        "import": [["outflows", LEDGER]],
        "do": [["/members/find", json.dumps({"number": scene.number})]],
        "find": [["--number", scene.number], ["--phone", CANARY["phone"]]],
        "show": [[each, *audit] for each in (*boards, "activities", "peers", "quarantine")],
        "audit who": [[w["member"], "2025-06-01"]],
        "audit known": [[w["outflow"], "2025-06-01"]],
        "audit changes": [[w["outflow"], "2025-06-01", *between]],
        "audit trail": [[w["member"], "phone"]],
        "audit attempts": [[w["member"]]],
        "audit late": [[]],
        "audit figures": [["2025-06-01"]],
        "audit recount": [["2025-06-01", *between]],
        "audit explain": [["roster", w["outflow"], "phone"]],
        "audit history": [["--outflow", w["outflow"]]],
        "who-saw": [[w["member"]]],
        "access list": [audit],
        "access of": [[w["member"], *audit]],
        "access verify": [[]],
        "log evidence": [[], [w["contradiction"]]],
        "fence status": [[]],
        "fence renew": [["--reason", "x"]],
        "fence take": [[scene.host.code]],
        "rebuild": [["roster"]],
        "reconcile": [[scene.host.code, "--dry-run"]],
        "bundle export": [["--to", FAR, "--out", tmp_path, "--again"]],
        "bundle import": [[theirs]],
        "where": [[f"{w['outflow']}/1"]],
        "passport": [
            [w["outflow"], "--out", tmp_path / "a.passport"],
            [w["member"], "--member", "--hide", "phone", "--out", tmp_path / "b.passport"],
        ],
        "evidence export": [[tmp_path / "a.evidence", "--open", "identity"]],
        "evidence print": [[proved, tmp_path / "a.html"]],
        "export-ledger": [[tmp_path / "a.ledger"]],
        "inspect": [[]],
        "pact list": [[]],
        **{f"pact {each}": [] for each in ("conclude", "change", "end")},
        "peers list": [[]],
        "peers recompute": [[scene.host.code]],
        "peers retry": [[scene.host.code]],
        "peers refused": [[scene.host.code]],
        "erasure board": [[]],
        "erasure due": [[]],
        "erasure consult": [[w["erasure"], w["forgotten"], "phone", "审计"]],
        **{f"erasure {each}": [] for each in ("request", "grant", "restrict")},
        **{f"erasure {each}": [] for each in ("refuse", "lift", "keep")},
        "quarantine list": [[]],
        "quarantine show": [[w["quarantined"]]],
        "quarantine retry": [[w["quarantined"]]],
    }


@pytest.mark.slow
def test_every_command_that_shows_the_person_is_recorded_by_the_node(
    scene: Scene, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = lines(scene, tmp_path)
    assert set(commands()) == typed.keys() | OFFLINE.keys()

    shown = set()
    for number_, (name, each) in enumerate((n, e) for n, all_ in typed.items() for e in all_):
        account = f"line {number_}"
        monkeypatch.setenv("WAYSTATION_PERSON", account)
        said = run(*name.split(), *each, "--url", scene.origin.url)
        found = scene.origin.node.database.rows(
            "SELECT * FROM access WHERE account = %(a)s", {"a": account}
        )
        if any(canary in said.out for canary in scene.canaries):
            shown.add(name)
            assert found, name
            assert all(row["outcome"] == "shown" for row in found)

    assert shown >= {"letter", "do", "show", "audit trail", "audit explain", "quarantine show"}
