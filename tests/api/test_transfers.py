"""转接查询: what both sides are told of a transfer, from the request to the file that goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.support import Site, person, until
from tests.api.test_commands import DUES, SLIP, WHY, Cast, admission
from tests.api.test_problems import problem


@pytest.fixture
def cast(origin: Site, host: Site) -> Cast:
    return Cast(origin, host)


def test_a_transfer_shows_its_levels_its_letters_and_whose_turn_it_is(cast: Cast) -> None:
    transfer = cast.sent(channel="letter", letter="第17号")

    for site in (cast.origin, cast.host):
        answer = site.ask(f"/transfers/{transfer}")
        shown = answer.json()
        assert answer.headers["ETag"] == f'"{shown["version"]}"'
        assert (shown["state"], shown["to"]) == ("在途", cast.host.code)
        assert shown["approved_by"] == ["甲", "乙"]
        assert [each["letter"] for each in shown["dispatches"]] == ["第17号"]
        turn = until(lambda site=site: theirs(site, transfer, cast.host.code))
        assert (turn["urgency"], turn["clock"]) == ("正常", "letter_validity_days")


def theirs(site: Site, transfer: str, code: str) -> dict[str, Any] | None:
    """The turn, once the board has come to it and it is that organization's."""
    turn: dict[str, Any] | None = site.get(f"/transfers/{transfer}")["turn"]
    return turn if turn and turn["whose"] == code else None


def test_a_request_that_is_seen_is_not_approved_unseen(cast: Cast) -> None:
    transfer = cast.requested()
    cast.origin.post(f"/transfers/{transfer}/approvals", {"level": "branch"})

    path, body = f"/transfers/{transfer}/approvals", {"level": "committee"}
    unseen = cast.origin.send(path, body, If_Match='"1"', Waystation_Person="乙")
    problem(unseen, 412, "stale")
    problem(cast.origin.send(path, body), 409, "same-person-approves")


def test_a_transfer_that_is_over_leaves_the_board(cast: Cast) -> None:
    transfer = cast.requested()
    receipt = cast.origin.post(f"/transfers/{transfer}/withdrawal", WHY)

    def board(**asked: Any) -> list[str]:
        asked = {"transfer": transfer, "after": receipt["position"], **asked}
        return [row["state"] for row in cast.origin.get("/transfers", **asked)["items"]]

    assert (board(), board(open=False)) == ([], ["撤销"])


def test_a_member_is_found_and_counted_where_he_has_gone(cast: Cast) -> None:
    known = person()
    member = str(cast.origin.post("/members", known)["id"])
    transfer = str(cast.origin.post("/transfers", {"member": member, "to": cast.host.code})["id"])
    for level, one in (("branch", "甲"), ("committee", "乙")):
        path = f"/transfers/{transfer}/approvals"
        cast.origin.post(path, {"level": level}, Waystation_Person=one)
    cast.origin.post(f"/transfers/{transfer}/dispatches", DUES)
    until(lambda: cast.host.ask(f"/transfers/{transfer}").status_code == 200)
    cast.host.post(f"/admissions/{transfer}/dispatches/1/admitted", admission())
    cast.host.post(f"/admissions/{transfer}/slip", SLIP)

    def counted(site: Site) -> list[str]:
        return [row["keeper"] for row in site.get("/members", person=member)["items"]]

    until(lambda: counted(cast.host) == [cast.host.code])
    until(lambda: counted(cast.origin) == [])
    asked = {"number": known["number"]}
    there = cast.host.send("/members/find", asked).json()["member"]
    gone = cast.origin.send("/members/find", asked).json()["member"]
    assert (gone, there != member) == (member, True)
    path, phone = f"/members/{member}/phone", {"phone": "13900008888"}
    problem(cast.origin.send(path, phone), 409, "member-released")
