"""故事: a ledger imported, every member handed over, a year recorded, one moved, one returned."""

from __future__ import annotations

from typing import Any

from api.demo.asking import FOUND, Absence, Asking
from api.demo.nodes import CHENGDU, ORIGIN, SHENZHEN
from api.excel.sample import FOLDER

FAULTS = {
    "bad_check_digit",
    "truncated_number",
    "formula_as_name",
    "equal_dates_outside_1969_1977",
    "left_in_the_future",
}
"""What is wrong with the five dirty rows of the sample."""

MEMBERS, CONTACTS = 24, 288
RETURNED_ON, MOVED_ON = "2026-01-20", "2026-02-10"
NEW_PHONE = "13900001888"


class Story(Asking):
    """Steps, each repeatable."""

    def tell(self) -> dict[str, Any]:
        """The whole story; what the questions afterwards are about."""
        self.import_ledger()
        declined = self.hand_over()
        found = self.find_one()
        self.record_year(declined)
        known_at = self.origin.get("/history", purpose="audit", limit=1)["items"][0]["entered_at"]
        moved = self.relocate_one(declined)
        self.return_one(moved)
        self.change_phone(moved)
        return {
            "declined": declined["outflow"],
            "found": found,
            "moved": moved["outflow"],
            "member": moved["member"],
            "started": known_at,
        }

    # 1. The ledger.

    def import_ledger(self) -> None:
        """A dry run first, then for good."""
        say, path = self.telling, FOLDER / "流出党员台账.xlsx"
        say.chapter("1. 酒泉导入流出党员台账 the origin imports its ledger")
        policy = {
            "terms": {"contact_interval_days": 31, "document": "示例制度"},
            "effective_from": "2025-01-01",
        }
        self.origin.post("/policies", policy, "story/policy")
        if self.absences():
            say.say("台账已经导入，接着讲。The ledger is imported already.")
            return
        with say.working("试读 dry run"):
            rehearsed = self.origin.import_file("outflows", path, dry_run=True)
        say.claim("试读没有写入任何一行 the dry run wrote nothing", not self.absences())
        with say.working("登记 import"):
            report = self.origin.import_file("outflows", path, dry_run=False)
        rows = [
            {**fault, "where": f"{fault['sheet']} 第 {fault['row']} 行"}
            for fault in report["refused"]
        ]
        columns = {"where": "表·行", "column": "列", "rule": "规则", "message": "说明"}
        say.table(f"{report['file']}：未登记的行 refused rows", rows, columns)
        say.claim(
            f"登记 {report['recorded']} 名，拒绝 {len(rows)} 行，与试读一致 accepted and refused",
            report["recorded"] == MEMBERS == rehearsed["recorded"]
            and report["refused"] == rehearsed["refused"],
        )
        self.absences(after=report["position"])
        say.claim(
            "拒绝的正是五行有误的 exactly the dirty rows", {r["rule"] for r in rows} == FAULTS
        )

    # 2. The hand-over.

    def hand_over(self) -> Absence:
        """Offer every member; the stations accept, and decline one."""
        say = self.telling
        say.chapter("2. 逐人发出邀约，两站接收 every member is offered, the stations accept")
        absences = self.absences()
        wanted = [a for a in absences if a["state"] == "待报到" and a["host"] is None]
        with say.working(f"发出 {len(wanted)} 份邀约 offers"):
            for absence in wanted:
                self.offer(absence["outflow"], self.station_of(absence).code)
        declined = max(
            (a for a in absences if self.station_of(a) is SHENZHEN), key=lambda a: a["number"]
        )
        for station in (CHENGDU, SHENZHEN):
            mine = [a for a in absences if self.station_of(a) is station]
            say.until(
                f"{station.name}看到 {len(mine)} 份邀约 sees its offers",
                lambda station=station, mine=mine: len(self.board(station)) >= len(mine),  # type: ignore[misc]
            )
            for absence in mine:
                if absence is not declined:
                    self.accept(station, absence["outflow"], 1)
        body = {"reason_code": "not_here", "reason": "已回酒泉，本人电话确认"}
        path = f"/inflows/{declined['outflow']}/offers/1/declined"
        self.stations[SHENZHEN.code].post(path, body, "story/decline")
        say.until(
            f"{MEMBERS - 1} 名的管理经酒泉确认后转到两站 care passes by the origin's confirmation",
            lambda: len(self.in_care()) >= MEMBERS - 1,
        )
        say.until(
            "不接收的一名仍由酒泉负责，原因双方可见 the declined one stays with the origin",
            lambda: self.reason(declined["outflow"]) == "not_here",
        )
        return declined

    def find_one(self) -> str:
        """A station meets a member nobody has announced; the origin answers the claim."""
        say, station = self.telling, self.stations[CHENGDU.code]
        body = {"origin": ORIGIN.code, **FOUND, "via": "visit", "on": "2025-03-03"}
        inflow = station.post("/inflows/found", body, "story/found")["id"]
        say.until(
            "成都走访发现一名未登记的党员，酒泉收到待认领 a claim the origin must answer",
            lambda: self.claimed(inflow),
        )
        member = {
            **FOUND,
            "joined_on": "2008-07-01",
            "full_on": "2009-07-01",
            "branch": "敦煌市样例村党支部",
        }
        person = self.origin.post("/members", member, "story/found/member")["id"]
        left = {"member": person, "left_on": "2024-10-08", "destination": "四川省成都市"}
        outflow = self.origin.post("/outflows", left, "story/found/outflow")["id"]
        path = f"/claims/{inflow}/recognized"
        self.origin.post(path, {"outflow": outflow}, "story/found/recognized")
        self.offer(outflow, CHENGDU.code, claim=inflow)
        say.until(
            "酒泉认领并发出邀约 recognized and offered",
            lambda: bool(station.get(f"/outflows/{outflow}")["offers"]),
        )
        self.accept(CHENGDU, outflow, 1, on="2025-03-10")
        say.until(
            "被发现的党员由成都站管理 and now in the station's care",
            lambda: self.carer(outflow) == CHENGDU.code,
        )
        return str(outflow)

    # 3. The year.

    def record_year(self, declined: Absence) -> None:
        """Contacts and party days from the stations' own sheets."""
        say = self.telling
        say.chapter("3. 一年的联系、主题党日 a year of contacts and party days")
        refused = recorded = marks = 0
        for station in (CHENGDU, SHENZHEN):
            client = self.stations[station.code]
            with say.working(f"{station.name}导入联系记录和签到表 import"):
                contacts = client.import_file("contacts", FOLDER / "联系记录.xlsx", dry_run=False)
                days = client.import_file(
                    "party-days", FOLDER / "主题党日签到表.xlsx", dry_run=False
                )
            recorded += contacts["recorded"]
            refused += len(contacts["refused"])
            marks += days["recorded"]
        say.claim(
            f"登记联系 {recorded} 次、考勤 {marks} 次；未接收的一名的 {refused} 次被拒绝"
            " all but those of the declined member",
            (recorded, refused) == (CONTACTS - 12, 12),
        )
        carers = {ORIGIN.code, CHENGDU.code, SHENZHEN.code}
        say.until(
            "酒泉看到同样多的联系 the origin knows as many",
            lambda: sum(r["contacts"] for r in self.due() if r["carer"] in carers) >= recorded,
        )
        del declined

    def relocate_one(self, declined: Absence) -> Absence:
        """From one station to the other: the care comes home in between."""
        say = self.telling
        say.chapter("4. 一名转移、一名返回 one relocation, one return")
        moved = min(
            (a for a in self.absences() if self.station_of(a) is CHENGDU and a["phone"]),
            key=lambda a: a["number"],
        )
        outflow = moved["outflow"]
        assert outflow != declined["outflow"]
        inflow = self.inflow(outflow)
        body = {"because": "relocated", "ended_on": MOVED_ON, "destination": "广东省深圳市"}
        self.stations[CHENGDU.code].post(f"/inflows/{inflow}/end", body, "story/moved/end")
        say.until(
            "成都报告转移，轮到酒泉办理 the origin's turn",
            lambda: (self.turn(outflow) or {}).get("whose") == ORIGIN.code,
        )
        body = {"moved_on": MOVED_ON, "destination": "广东省深圳市", "host": SHENZHEN.code}
        self.origin.post(f"/outflows/{outflow}/relocation", body, "story/moved")
        self.offer(outflow, SHENZHEN.code)
        station = self.stations[SHENZHEN.code]
        say.until(
            "深圳收到邀约和此前的登记 the new host receives the stream from its first fact",
            lambda: len(station.get(f"/outflows/{outflow}")["offers"]) == 2,  # noqa: PLR2004
        )
        self.accept(SHENZHEN, outflow, 2, on="2026-02-12")
        say.until(
            "转移的一名由深圳站管理 now in Shenzhen's care",
            lambda: self.carer(outflow) == SHENZHEN.code,
        )
        return moved

    def return_one(self, moved: Absence) -> None:
        """A member comes home."""
        back = max(
            (a for a in self.in_care() if self.station_of(a) is CHENGDU and a is not moved),
            key=lambda a: a["number"],
            default=None,
        )
        returned = [a for a in self.absences() if a["state"] == "已返回"]
        if back is None or returned:
            return
        inflow = self.inflow(back["outflow"])
        body = {"because": "returned", "ended_on": RETURNED_ON}
        self.stations[CHENGDU.code].post(f"/inflows/{inflow}/end", body, "story/back/end")
        body = {"returned_on": RETURNED_ON, "conduct": "表现良好"}
        self.origin.post(f"/outflows/{back['outflow']}/return", body, "story/back")
        self.telling.until(
            "返回的一名在两边都已结束流动 the return is known on both sides",
            lambda: (
                self.stations[CHENGDU.code].get(f"/outflows/{back['outflow']}")["state"] == "已返回"
            ),
        )

    def change_phone(self, moved: Absence) -> None:
        """A new number, so that there is an old one."""
        body = {"phone": NEW_PHONE, "on": "2026-03-01"}
        path = f"/members/{moved['member']}/phone"
        self.origin.post(path, body, "story/phone")
