"""问答: both sides prove that they read the same, and the auditor asks three questions."""

from __future__ import annotations

from typing import Any

from api.demo.nodes import CHENGDU, ORIGIN, SHENZHEN, Nodes
from api.demo.story import MOVED_ON, NEW_PHONE
from api.demo.telling import Telling

AUDIT = "audit"
"""What the auditor's questions are asked for."""

_ROSTER = {
    "name": "姓名",
    "branch": "所在党支部",
    "destination": "外出地点",
    "state": "状态",
    "host": "管理",
    "host_since": "起",
    "phone": "电话",
}


class Questions:
    """Asked of the origin and of the hosts; every answer is compared."""

    def __init__(self, nodes: Nodes, telling: Telling, told: dict[str, Any]) -> None:
        self.clients = nodes.clients
        self.origin = nodes.clients[ORIGIN.code]
        self.telling, self.told = telling, told

    def ask(self) -> None:
        """All of them."""
        self.same_on_both_sides()
        self.who_was_responsible()
        self.what_was_known()
        self.where_from()

    def same_on_both_sides(self) -> None:
        """The origin compares with each station, and both sign that nothing differs."""
        say = self.telling
        say.chapter("5. 两边看到的一样 the same on both sides")
        rows = list(self.origin.pages("/outflows"))
        say.table("酒泉的花名册（前 6 名）the origin's roster", rows[:6], _ROSTER)
        for station in (CHENGDU, SHENZHEN):
            say.until(
                f"对账：酒泉与{station.name}，花名册、看板、联系、考勤和每条事实 nothing differs",
                lambda code=station.code: self._reconcile(code, dry_run=True)["equal"],  # type: ignore[misc]
            )
            equal = self._reconcile(station.code)["equal"]
            say.claim(
                f"一致证明：双方签署，各存一份 酒泉与{station.name} both have signed and keep it",
                equal
                and self._paper(ORIGIN.code, station.code)
                == self._paper(station.code, ORIGIN.code),
            )
        turns = [r for r in self.origin.pages("/custody") if r["turn"]]
        shown = [{**r, **r["turn"]} for r in turns]
        columns = {"whose": "轮到", "since": "起", "until": "至", "action": "办理"}
        say.table("尚待办理 open steps", shown, columns)

    def who_was_responsible(self) -> None:
        """Who was responsible for X on day D."""
        say, outflow = self.telling, self.told["moved"]
        say.chapter("6. 审计三问 three audit questions")
        days = {"2024-12-31": ORIGIN.code, "2025-06-01": CHENGDU.code, "2026-06-01": SHENZHEN.code}
        for day, expected in {**days, MOVED_ON: ORIGIN.code}.items():
            answers = [
                client.get(f"/outflows/{outflow}/responsible", purpose=AUDIT, on=day)
                for client in (self.origin, self.clients[SHENZHEN.code])
            ]
            care = {answer["care"] for answer in answers}
            say.claim(
                f"一问：{day} 谁负责日常管理？两边都答 {expected}；"
                f"组织关系在 {answers[0]['affiliation']} who was responsible",
                care == {expected} and {a["affiliation"] for a in answers} == {ORIGIN.code},
            )

    def what_was_known(self) -> None:
        """What did the host know on K about day D."""
        say, outflow = self.telling, self.told["moved"]
        host = self.clients[CHENGDU.code]
        asked = {"purpose": AUDIT, "on": "2025-06-01"}
        facts = host.get(f"/outflows/{outflow}/responsible", **asked)["facts"]
        confirmed = next(f for f in facts if f["topic"] == "outflow.confirmed")
        path = f"/outflows/{outflow}/known"
        before = host.get(path, known_at=facts[0]["entered_at"], **asked)
        after = host.get(path, **asked)
        say.claim(
            f"二问：{facts[0]['entered_at'][:19]} 时成都对 2025-06-01 知道什么？"
            f"由 {before['care']} 管理、联系 {before['contacts']} 次；"
            f"如今知道由 {after['care']} 管理、联系 {after['contacts']} 次"
            " what did the host know when",
            (before["care"], before["contacts"]) == (ORIGIN.code, 0)
            and after["care"] == CHENGDU.code
            and after["contacts"] > 0
            and confirmed["entered_at"] > facts[0]["entered_at"],
        )

    def where_from(self) -> None:
        """Where did this phone number come from, and what was it before."""
        trail = self.origin.get(f"/members/{self.told['member']}/trail/phone", purpose=AUDIT)
        first, last = trail[0], trail[-1]
        source = first["source"]
        place = f"{source.get('file')}·{source.get('sheet')}·第 {source.get('row')} 行"
        self.telling.claim(
            f"三问：电话 {_masked(last['value'])} 从哪来？"
            f"{last['by']} 于 {last['occurred_on']} 登记；"
            f"此前是 {_masked(first['value'])}，来自 {place} where did this number come from",
            last["value"].endswith(NEW_PHONE)
            and first["value"] != last["value"]
            and source.get("row") is not None
            and len(source.get("digest", "")) == 64,  # noqa: PLR2004 - SHA-256 in hex.
        )

    def _reconcile(self, peer: str, *, dry_run: bool = False) -> dict[str, Any]:
        return self.origin.post(f"/peers/{peer}/reconcile?dry_run={dry_run}", {})

    def _paper(self, code: str, peer: str) -> tuple[str, set[str]]:
        kept = self.clients[code].get(f"/peers/{peer}/agreement")
        return kept["certificate"], set(kept["signatures"].values())


def _masked(phone: str) -> str:
    return f"{phone[:6]}****{phone[-4:]}"
