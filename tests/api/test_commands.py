"""办理: every command has a path, and answers with a receipt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pytest

from api.routes.commands import COMMANDS
from domain import commands as c
from domain.aggregate import CIVIL_ZONE
from domain.commands import AUTOMATIC, Command
from tests.api.support import ACCEPTANCE, Site, absent, cared_for, offered, person, until
from tests.api.test_peers import card

ELSEWHERE: dict[type[Command], str] = {
    c.EnrolPeer: "POST /peers takes the peer's signed card",
    c.RekeyPeer: "POST /peers/rekey takes the peer's new card",
    c.ChangeKeys: "POST /keys/rotate and /keys/revoke make the new pair and its signatures",
    c.OpenSignet: "a node puts down its first key at its first start",
    c.TellReads: "a node says at its start what it can read",
    c.FoundOrganization: "a node founds its own organization at its first start",
    c.RegisterDeparture: "a row of the ledger: POST /imports/outflows",
    c.RegisterByLetter: "POST /paper/registered takes the text of the letter's code",
    c.AdmitByLetter: "POST /paper/admitted takes the text of the letter's code",
    c.RequestErasure: "POST /erasures finds what is kept about the person",
    c.GrantErasure: "POST /erasures/{erasure}/grant carries it out",
    c.ConsultRestricted: "POST /erasures/{erasure}/consultations shows what it opens",
    c.Departure: "the part of RegisterOutflow that a row shares",
}
"""Public commands without a path of their own, each with its reason."""

Asked = tuple[Site, dict[str, Any], dict[str, Any]]
"""Whom to ask, what the path says, what the body says."""


class Cast:
    """What a command needs to be there before it."""

    def __init__(self, origin: Site, host: Site) -> None:
        self.origin, self.host = origin, host

    def member(self) -> str:
        return str(self.origin.post("/members", person())["id"])

    def outflow(self) -> str:
        return absent(self.origin)[1]

    def offered(self) -> str:
        return offered(self.origin, self.host)

    def in_care(self) -> tuple[str, str]:
        return cared_for(self.origin, self.host)

    def closed(self, *, restricted: bool = False) -> dict[str, Any]:
        said = {"member": self.member(), "ground": "other"}
        path = {"erasure": str(self.origin.post("/erasures", said)["id"])}
        if restricted:
            self.origin.post(f"/erasures/{path['erasure']}/restriction", RESTRICTED)
        return path

    def asked_to_forget(self) -> dict[str, Any]:
        member = self.origin.get(f"/outflows/{self.offered()}")["member"]
        erasure = str(self.origin.post("/erasures", {"member": member, "ground": "other"})["id"])
        until(lambda: self.host.ask(f"/erasures/{erasure}").status_code == 200)
        return {"erasure": erasure}

    def requested(self, **to: str) -> str:
        said = {"member": self.member(), **(to or {"to": self.host.code})}
        return str(self.origin.post("/transfers", said)["id"])

    def approved(self, **to: str) -> str:
        transfer = self.requested(**to)
        for level, one in (("branch", "甲"), ("committee", "乙")):
            path = f"/transfers/{transfer}/approvals"
            self.origin.post(path, {"level": level}, Waystation_Person=one)
        return transfer

    def sent(self, **how: str) -> str:
        """On its way; known to the host, if it is the receiver."""
        to = {"to_name": how.pop("to_name")} if "to_name" in how else {}
        transfer = self.approved(**to)
        self.origin.post(f"/transfers/{transfer}/dispatches", {**DUES, **how})
        if not to:
            until(lambda: self.host.ask(f"/transfers/{transfer}").status_code == 200)
        return transfer

    def lost_letter(self) -> str:
        transfer = self.sent(channel="letter", letter="第17号")
        self.origin.post(f"/transfers/{transfer}/letter/lost", WHY)
        return transfer

    def admitted(self) -> str:
        transfer = self.sent()
        self.host.post(f"/admissions/{transfer}/dispatches/1/admitted", admission())
        return transfer

    def unit(self) -> str:
        return str(self.origin.post("/units", {"name": "第一党支部"})["id"])

    def contact(self) -> str:
        said = {"outflow": self.outflow(), "on": "2025-04-01", "method": "电话", "by": "李干事"}
        return str(self.origin.post("/contacts", said)["id"])

    def activity(self) -> str:
        return str(self.origin.post("/activities", {"on": "2025-04-05", "title": "学习"})["id"])

    def marked(self) -> tuple[str, str]:
        activity, outflow = self.activity(), self.outflow()
        said = {"outflow": outflow, "mark": "present"}
        self.origin.post(f"/activities/{activity}/attendance", said)
        return activity, outflow

    def claim(self) -> str:
        said = {"origin": self.origin.code, "name": "李四", "on": "2025-03-03"}
        inflow = str(self.host.post("/inflows/found", said)["id"])
        until(lambda: any(x["inflow"] == inflow for x in self.origin.get("/claims")["items"]))
        return inflow

    def lost(self) -> str:
        outflow = self.outflow()
        self.origin.post(f"/outflows/{outflow}/lost", {"basis": "三次未联系上"})
        return outflow

    def reported(self) -> str:
        said = {"member": self.member(), "planned_on": "2025-03-01"}
        return str(self.origin.post("/outflows/reported", said)["id"])

    def stranger(self, *grants: str) -> str:
        """A peer that nobody else has to do with."""
        code = f"peer-{len(self.origin.node.relay.peers())}"
        shown, fingerprint = card(code)
        body = {"card": shown, "fingerprint": fingerprint, "grants": grants, "lane": "bundle"}
        self.origin.post("/peers", body)
        return code

    def station(self) -> str:
        said = {"code": "xian", "name": "西安站", "city": "西安", "approval": "酒组发〔2025〕1号"}
        return str(self.origin.post("/stations", said)["id"])


LAW = {"reason": "争议尚未办结", "basis": "PIPL 47", "until": "2099-01-01"}
RESTRICTED = {**LAW, "purposes": ["审计"]}


def _in_flow(body: dict[str, Any]) -> Callable[[Cast], Asked]:
    return lambda cast: (cast.origin, {"outflow": cast.outflow()}, body)


def _of_member(body: dict[str, Any]) -> Callable[[Cast], Asked]:
    return lambda cast: (cast.origin, {"member": cast.member()}, body)


def _at_origin(body: Callable[[Cast], dict[str, Any]]) -> Callable[[Cast], Asked]:
    return lambda cast: (cast.origin, {}, body(cast))


WHY = {"reason": "登记有误"}
DECLINED = {"reason_code": "not_here", "reason": "已返回"}
MOVED = {"moved_on": "2025-04-01", "destination": "广东省深圳市"}
VOIDED = {"reason": "重复登记", "second_person": "复核人"}
DIED = {"how": "died", "document": "死亡证明", "on": "2025-04-01"}
VISIT = {"on": "2025-04-01", "by": "李干事"}

DUES = {"dues_paid_to": "2025-03-01"}
SLIP = {"handler": "赵干事", "phone": "13900001234"}


def admission() -> dict[str, str]:
    return {"branch": "武侯区第一党支部", "admitted_on": civil_today()}


def civil_today() -> str:
    return datetime.now(CIVIL_ZONE).date().isoformat()


def agreed() -> dict[str, Any]:
    today = civil_today()
    days = {"effective_from": today, "until": today}
    return {"purposes": ["identify"], "classes": ["identity"], **days}


def _paper_slip() -> dict[str, str]:
    return {"admitted_on": civil_today(), "returned_on": civil_today(), **SLIP}


EXAMPLES: dict[type[Command], Callable[[Cast], Asked]] = {
    c.AdoptPolicy: _at_origin(
        lambda _: {"terms": {}, "effective_from": date.today().isoformat()}  # noqa: DTZ011
    ),
    c.EstablishStation: _at_origin(
        lambda _: {"code": "beijing", "name": "北京站", "city": "北京", "approval": "1号"}
    ),
    c.CloseStation: lambda cast: (cast.origin, {"station": cast.station()}, WHY),
    c.OpenUnit: _at_origin(lambda _: {"name": "第二党支部"}),
    c.RenameUnit: lambda cast: (cast.origin, {"unit": cast.unit()}, {"name": "新名"}),
    c.CloseUnit: lambda cast: (cast.origin, {"unit": cast.unit()}, WHY),
    c.RegisterMember: _at_origin(lambda _: person()),
    c.RecordPhone: _of_member({"phone": "13900009999"}),
    c.RecordAddress: _of_member({"address": "成都市武侯区"}),
    c.CorrectIdentity: _of_member({"name": "张山", **WHY}),
    c.EndMembership: _of_member(DIED),
    c.ReportOutflow: _at_origin(lambda cast: {"member": cast.member(), "planned_on": "2025-03-01"}),
    c.AskCorrection: lambda cast: (cast.origin, {"outflow": cast.reported()}, WHY),
    c.RegisterOutflow: _at_origin(lambda cast: {"member": cast.member(), "left_on": "2025-03-01"}),
    c.OfferCare: lambda cast: (
        cast.origin,
        {"outflow": cast.outflow()},
        {"host": cast.host.code, "valid_days": 30},
    ),
    c.RecallOffer: lambda cast: (cast.origin, {"outflow": cast.offered(), "offer": 1}, WHY),
    c.RecordRelocation: lambda cast: (cast.origin, {"outflow": cast.in_care()[0]}, MOVED),
    c.RecordReturn: _in_flow({"returned_on": "2025-05-01"}),
    c.CloseOutflow: _in_flow({"how": "died", "closed_on": "2025-05-01"}),
    c.VoidOutflow: _in_flow(VOIDED),
    c.ReportLost: _in_flow({"basis": "三次未联系上"}),
    c.ReportRestored: lambda cast: (cast.origin, {"outflow": cast.lost()}, {}),
    c.ShareOutflow: lambda cast: (
        cast.origin,
        {"outflow": cast.outflow()},
        {"to": cast.host.code, "purpose": "慰问"},
    ),
    c.RecognizeClaim: lambda cast: (
        cast.origin,
        {"inflow": cast.claim()},
        {"outflow": cast.outflow()},
    ),
    c.RefuseClaim: lambda cast: (cast.origin, {"inflow": cast.claim()}, WHY),
    c.ReportInflow: lambda cast: (cast.host, {"outflow": cast.offered()}, {"on": "2025-03-05"}),
    c.FindMember: lambda cast: (cast.host, {}, {"origin": cast.origin.code, "name": "王五"}),
    c.RestrictProcessing: lambda cast: (cast.origin, cast.closed(), RESTRICTED),
    c.RefuseErasure: lambda cast: (cast.origin, cast.closed(), {"reason": "身份未核实"}),
    c.LiftRestriction: lambda cast: (
        cast.origin,
        cast.closed(restricted=True),
        {"reason": "争议已办结"},
    ),
    c.KeepInstead: lambda cast: (cast.host, cast.asked_to_forget(), LAW),
    c.AcceptInflow: lambda cast: (
        cast.host,
        {"outflow": cast.offered(), "offer": 1},
        ACCEPTANCE,
    ),
    c.DeclineInflow: lambda cast: (cast.host, {"outflow": cast.offered(), "offer": 1}, DECLINED),
    c.LinkParticipation: lambda cast: (cast.host, {"outflow": cast.offered()}, {}),
    c.RecordInflowDetails: lambda cast: (
        cast.host,
        {"inflow": cast.in_care()[1]},
        {"phone": "13900008888"},
    ),
    c.EndInflow: lambda cast: (
        cast.host,
        {"inflow": cast.in_care()[1]},
        {"because": "returned", "ended_on": "2025-06-01"},
    ),
    c.RequestTransfer: _at_origin(lambda cast: {"member": cast.member(), "to": cast.host.code}),
    c.ApproveTransfer: lambda cast: (
        cast.origin,
        {"transfer": cast.requested()},
        {"level": "branch"},
    ),
    c.RejectTransfer: lambda cast: (cast.origin, {"transfer": cast.requested()}, WHY),
    c.WithdrawTransfer: lambda cast: (cast.origin, {"transfer": cast.approved()}, WHY),
    c.SendTransfer: lambda cast: (cast.origin, {"transfer": cast.approved()}, DUES),
    c.ReportLetterLost: lambda cast: (
        cast.origin,
        {"transfer": cast.sent(channel="letter", letter="第17号")},
        WHY,
    ),
    c.ReissueLetter: lambda cast: (
        cast.origin,
        {"transfer": cast.lost_letter()},
        {"letter": "第21号", "basis": "支部证明、本人申请"},
    ),
    c.RecordSlip: lambda cast: (
        cast.origin,
        {"transfer": cast.sent(to_name="某县县委组织部", channel="letter", letter="第17号")},
        _paper_slip(),
    ),
    c.AdmitTransfer: lambda cast: (
        cast.host,
        {"transfer": cast.sent(), "dispatch": 1},
        admission(),
    ),
    c.RefuseTransfer: lambda cast: (
        cast.host,
        {"transfer": cast.sent(), "dispatch": 1},
        {"reason_code": "other", "reason": "材料不全"},
    ),
    c.ReturnSlip: lambda cast: (cast.host, {"transfer": cast.admitted()}, SLIP),
    c.ConcludePact: lambda cast: (cast.origin, {"peer": cast.stranger()}, {"terms": agreed()}),
    c.ChangePact: lambda cast: (
        cast.origin,
        {"peer": cast.stranger("contact")},
        {"terms": agreed()},
    ),
    c.EndPact: lambda cast: (cast.origin, {"peer": cast.stranger("contact")}, WHY),
    c.RecordContact: _at_origin(
        lambda cast: {"outflow": cast.outflow(), "method": "电话", **VISIT}
    ),
    c.RecordVisit: _at_origin(lambda cast: {"outflow": cast.outflow(), **VISIT}),
    c.CorrectContact: lambda cast: (
        cast.origin,
        {"contact": cast.contact()},
        {"reached": False, **WHY},
    ),
    c.WithdrawContact: lambda cast: (cast.origin, {"contact": cast.contact()}, WHY),
    c.HoldActivity: _at_origin(lambda _: {"on": "2025-04-05", "title": "学习"}),
    c.CancelActivity: lambda cast: (cast.origin, {"activity": cast.activity()}, WHY),
    c.MarkAttendance: lambda cast: (
        cast.origin,
        {"activity": cast.activity()},
        {"outflow": cast.outflow(), "mark": "present"},
    ),
    c.CorrectAttendance: lambda cast: (
        cast.origin,
        {"activity": (marked := cast.marked())[0]},
        {"outflow": marked[1], "mark": "late", **WHY},
    ),
}


@pytest.fixture
def cast(origin: Site, host: Site) -> Cast:
    return Cast(origin, host)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "kind"),
    [row[:2] for row in COMMANDS],
    ids=[kind.__name__ for _, kind, _ in COMMANDS],
)
def test_a_command_answers_with_a_receipt(cast: Cast, path: str, kind: type[Command]) -> None:
    asked, in_path, body = EXAMPLES[kind](cast)

    answer = asked.send(path.format(**in_path), body)

    assert answer.status_code == 201, answer.text
    receipt = answer.json()
    assert receipt.keys() == {"id", "version", "position"}
    assert UUID(receipt["id"])
    assert receipt["position"] > 0
    assert answer.headers["ETag"] == f'"{receipt["version"]}"'
    assert answer.headers["Content-Type"] == "application/json"


def test_every_public_command_has_a_path_or_a_reason() -> None:
    public = {
        known
        for name in c.__all__
        if isinstance(known := getattr(c, name), type) and issubclass(known, Command)
    } - {Command}
    routed = {kind for _, kind, _ in COMMANDS}

    assert public - routed - AUTOMATIC == set(ELSEWHERE)
    assert routed & AUTOMATIC == set()
    assert set(EXAMPLES) == routed


def test_no_two_commands_share_a_path() -> None:
    paths = [path for path, _, _ in COMMANDS]

    assert len(set(paths)) == len(paths) == len({kind for _, kind, _ in COMMANDS})


def test_what_a_path_says_wins_over_the_body(origin: Site) -> None:
    _, outflow = absent(origin)
    _, other = absent(origin)

    body = {"outflow": other, "basis": "三次未联系上"}
    receipt = origin.post(f"/outflows/{outflow}/lost", body)

    assert receipt["id"] == outflow
