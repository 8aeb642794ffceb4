"""问答: the same roster, custody and history from both sides, and the auditor's three questions."""

from __future__ import annotations

from typing import Any

from api.client import Client
from api.demo.nodes import CHENGDU, ORIGIN, SHENZHEN, Nodes
from api.demo.story import MOVED_ON, NEW_PHONE
from api.demo.telling import Telling

_ROSTER = {
    "name": "姓名",
    "branch": "所在党支部",
    "destination": "外出地点",
    "state": "状态",
    "host": "管理",
    "host_since": "起",
    "phone": "电话",
}

_HOST_SAYS = {
    *("host_branch", "party_group", "liaison", "inflow", "answered_offer", "answer"),
    *("answered_at", "ended_at", "ended_because", "turn"),
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
        """Roster, custody and history of every absence that both know."""
        say = self.telling
        say.chapter("5. 两边看到的一样 the same on both sides")
        rows = list(self.origin.pages("/outflows"))
        say.table("酒泉的花名册（前 6 名）the origin's roster", rows[:6], _ROSTER)
        for station in (CHENGDU, SHENZHEN):
            client = self.clients[station.code]
            say.until(
                f"花名册：酒泉与{station.name} roster equal",
                lambda client=client: self._same(client, "/outflows"),  # type: ignore[misc]
            )
            say.until(
                f"交接看板：酒泉与{station.name} custody equal",
                lambda client=client: self._same(client, "/custody", open=False),  # type: ignore[misc]
            )
            say.until(
                f"历史逐字节：酒泉与{station.name} history equal byte for byte",
                lambda client=client: self._same_history(client),  # type: ignore[misc]
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
                client.get(f"/outflows/{outflow}/responsible", on=day)
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
        facts = host.get(f"/outflows/{outflow}/responsible", on="2025-06-01")["facts"]
        confirmed = next(f for f in facts if f["topic"] == "outflow.confirmed")
        before = host.get(
            f"/outflows/{outflow}/known", on="2025-06-01", known_at=facts[0]["entered_at"]
        )
        after = host.get(f"/outflows/{outflow}/known", on="2025-06-01")
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
        trail = self.origin.get(f"/members/{self.told['member']}/trail/phone")
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

    def _same(self, client: Client, path: str, **query: Any) -> bool:
        code = _code(client, self.clients)
        theirs = {row["outflow"]: row for row in client.pages(path, **query)}
        ours = {row["outflow"]: row for row in self.origin.pages(path, **query)}
        return theirs.keys() <= ours.keys() and all(
            _told(row, code) == _told(ours[outflow], code) for outflow, row in theirs.items()
        )

    def _same_history(self, client: Client) -> bool:
        theirs = _facts(client)
        ours = _facts(self.origin)
        shared = theirs.keys() & ours.keys()
        heard = {k for k, (org, _) in theirs.items() if org == ORIGIN.code}
        told = {k for k, (org, _) in ours.items() if org == _code(client, self.clients)}
        return (
            bool(shared)
            and all(theirs[k] == ours[k] for k in shared)
            and heard <= shared
            and told <= shared
        )


def _told(row: dict[str, Any], station: str) -> dict[str, Any]:
    # What the next host reports to the origin is not the former host's to know.
    if station in {row.get("host"), row.get("offered_to")}:
        return row
    return {name: value for name, value in row.items() if name not in _HOST_SAYS}


def _facts(client: Client) -> dict[tuple[str, int], tuple[str, str]]:
    return {
        (row["stream"], row["version"]): (row["org"], row["state"])
        for row in client.pages("/history")
        if not row["topic"].startswith("organization.")
    }


def _code(client: Client, clients: dict[str, Client]) -> str:
    return next(code for code, each in clients.items() if each is client)


def _masked(phone: str) -> str:
    return f"{phone[:6]}****{phone[-4:]}"
