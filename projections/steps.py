"""统计口径: on which days one stream makes the figures of an organization step up or down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

CELLS = {
    "on_file": "在册党员，按类别 members on file, by category",
    "away": "流出党员，按状态 members away, by state",
    "hosted": "在外地受管理的流出党员，按流入地 members away in a host's care, by host",
    "in_care": "管理中的流入党员，按流出地 members in care here, by origin",
    "lost": "失联的流出党员 members away who cannot be reached",
    "contacts": "联系次数（累计），按结果 contacts so far, by outcome",
    "attendance": "考勤次数（累计），按标记 marks of attendance so far, by mark",
    "registered_late": "登记超期的流动（累计），按去向 absences registered late, by destination",
    "reported_late": "报到超期的流动（累计），按去向 absences reported in late, by destination",
}
"""The figures there are, each by organization and one further mark."""

Step = tuple[str, str, str, str]
"""Organization, cell, its further mark, and the day."""

State = dict[str, Any]
"""What one stream says that counts, as it is kept (days as text, so that it is JSON)."""

_PLACE = re.compile(r"(.{1,6}?(?:省|自治区))?.{1,8}?(?:市|自治州|州|盟|地区)")
PLACE_MAX = 12
"""Characters of a destination in whose name no city is recognized."""


def place(destination: str | None) -> str:
    """A destination down to its city: figures by street would be figures by person."""
    if not destination:
        return "去向未明"
    found = _PLACE.match(destination)
    return found[0] if found else destination[:PLACE_MAX]


def steps(state: State | None) -> Counter[Step]:
    """By how much each figure steps on each day because of one stream; what is void steps none."""
    counted: Counter[Step] = Counter()
    if state is not None and not state.get("void"):
        for org, cell, mark, day, amount in _KINDS[state["kind"]](state):
            counted[org, cell, mark, day] += amount
    return Counter({step: amount for step, amount in counted.items() if amount})


_Counted = Iterator[tuple[str, str, str, str, int]]


def _file(state: State) -> _Counted:
    yield state["org"], "on_file", state["category"], state["day"], 1
    if state.get("until"):
        yield state["org"], "on_file", state["category"], state["until"], -1


def _contact(state: State) -> _Counted:
    yield state["org"], "contacts", state["outcome"], state["day"], 1


def _mark(state: State) -> _Counted:
    yield state["org"], "attendance", state["mark"], state["day"], 1


def _absence(state: State) -> _Counted:
    origin = state.get("origin")
    if origin is None:
        return  # Its host has told of it before its origin.
    for begun, ended, what, host in _spans(state["spells"]):
        yield from _during(origin, "away", what, begun, ended)
        if host:
            yield from _during(origin, "hosted", host, begun, ended)
            yield from _during(host, "in_care", origin, begun, ended)
    over, lost = state["spells"][-1:], state["lost"]
    if over and over[0][1] is None:
        lost = spell(lost, over[0][0], None)
    for begun, ended, _, _ in _spans(lost):
        yield from _during(origin, "lost", "", begun, ended)
    for clock, cell in (("register", "registered_late"), ("report", "reported_late")):
        if late(state, clock):
            yield origin, cell, place(state["destination"]), state[f"{clock}_done"], 1


def _during(org: str, cell: str, mark: str, begun: str, ended: str | None) -> _Counted:
    yield org, cell, mark, begun, 1
    if ended:
        yield org, cell, mark, ended, -1


def _spans(spells: list[list[Any]]) -> Iterator[tuple[str, str | None, str, str | None]]:
    """Each spell with the day on which the next begins; one that ends as it begins is none."""
    for number, (begun, what, host) in enumerate(spells):
        ended = spells[number + 1][0] if number + 1 < len(spells) else None
        if what is not None and ended != begun:
            yield begun, ended, what, host


_KINDS = {"file": _file, "contact": _contact, "mark": _mark, "absence": _absence}


def spell(spells: list[list[Any]], day: str, what: str | None, host: str | None = None) -> Any:
    """Spells with another from a day on: what was to come after that day is overtaken."""
    return [*(s for s in spells if s[0] < day), [day, what, host]]


def due(start: date, days: int) -> str:
    """The last day on which something is in time."""
    return (start + timedelta(days=days)).isoformat()


def late(state: State, clock: str) -> bool:
    """Whether one of the two clocks of an absence had run out when the thing was done."""
    done, until = state.get(f"{clock}_done"), state.get(f"{clock}_by")
    return bool(done and until and done > until)
