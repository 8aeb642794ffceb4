"""打听: the small questions the story asks its nodes along the way."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from api.client import Client
from api.demo.nodes import CHENGDU, ORIGIN, SHENZHEN, Nodes, Organization
from api.demo.telling import Telling

FOUND = {"name": "鹿鸣远", "number": "620982198503150015", "phone": "13900001999"}
"""An invented member of the origin's whom nobody has announced."""

HANDED_OVER_ON = "2025-01-01"

Absence = dict[str, Any]


class Asking:
    """Knows the three nodes; each command it sends has a key, so that sending it again is one."""

    def __init__(self, nodes: Nodes, telling: Telling) -> None:
        self.origin = nodes.clients[ORIGIN.code]
        self.stations: dict[str, Client] = {
            s.code: nodes.clients[s.code] for s in (CHENGDU, SHENZHEN)
        }
        self.telling = telling

    def absences(self, after: int | None = None) -> list[Absence]:
        rows = self.origin.pages("/outflows", after=after)
        return [a for a in rows if a["number"] != FOUND["number"]]

    def in_care(self) -> list[Absence]:
        return [a for a in self.absences() if a["state"] == "在流入地管理"]

    def station_of(self, absence: Absence) -> Organization:
        return CHENGDU if "成都" in (absence["destination"] or "") else SHENZHEN

    def board(self, station: Organization) -> list[Absence]:
        return list(self.stations[station.code].pages("/custody"))

    def due(self) -> list[Absence]:
        return list(self.origin.pages("/contacts/due"))

    def offer(self, outflow: str, host: str, claim: str | None = None) -> None:
        body = {"host": host, **({"claim": claim} if claim else {})}
        self.origin.post(f"/outflows/{outflow}/offers", body, f"story/offer/{outflow}/{host}")

    def accept(
        self, station: Organization, outflow: str, offer: int, on: str = HANDED_OVER_ON
    ) -> None:
        body = {
            "branch": f"{station.city}流动党员党支部",
            "liaison": "骆干事",
            "accepted_on": on,
        }
        path = f"/inflows/{outflow}/offers/{offer}/accepted"
        self.stations[station.code].post(path, body, f"story/accept/{outflow}/{offer}")

    def carer(self, outflow: str) -> str:
        return str(self.origin.get(f"/outflows/{outflow}")["carer"])

    def turn(self, outflow: str) -> dict[str, Any] | None:
        turn: dict[str, Any] | None = self.origin.get(f"/outflows/{outflow}")["turn"]
        return turn

    def reason(self, outflow: str) -> str | None:
        seen = [
            c.get("/custody", outflow=outflow)["items"]
            for c in (self.origin, self.stations[SHENZHEN.code])
        ]
        reasons = {row["reason"] for rows in seen for row in rows}
        return reasons.pop() if len(reasons) == 1 else None

    def claimed(self, inflow: str) -> bool:
        waiting = {claim["inflow"] for claim in self.origin.get("/claims")["items"]}
        answered = self.origin.get("/history", purpose="handover", topic="claim.", limit=500)[
            "items"
        ]
        return inflow in waiting or bool(answered)

    def inflow(self, outflow: str) -> str:
        rows = self.origin.get("/custody", outflow=outflow, open=False)["items"]
        return str(UUID(rows[0]["inflow"]))
