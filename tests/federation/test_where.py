"""在哪里: one fact is followed from its record to the other side's read models and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.storage.server import EmbeddedServer
from sync import book_hops
from sync.envelope import Sealed
from sync.whereabouts import Whereabouts
from tests.api.support import Site, absent, cared_for, meet, person, site, until
from tests.api.test_lanes import signer
from tests.api.test_problems import problem
from tests.federation.test_over_http import contact
from tests.support.narrow import refusing

_schemas = count(1)


@pytest.fixture(scope="module")
def three(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site, Site]]:
    with ExitStack() as stack:
        number = next(_schemas)
        origin, chengdu, shenzhen = (
            stack.enter_context(site(postgres.url, f"where_{number}_{code}", code=code))
            for code in ("jiuquan", "chengdu", "shenzhen")
        )
        meet(origin, chengdu)
        meet(origin, shenzhen)
        yield origin, chengdu, shenzhen


def names(hops: list[dict[str, Any]]) -> list[str]:
    return [hop["hop"] for hop in hops]


def arrived(host: Site, origin: Site, stream: str) -> dict[str, Any]:
    """Where a fact of the origin is, once the host's receipt has come, and everybody reads it."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = origin.get(f"/facts/{stream}/1/where")
        (leg,) = (leg for leg in found["peers"] if leg["peer"] == host.code)
        if "receipt" not in names(leg["hops"]) or not leg["there"]:
            return None
        # A read model may be later than the receipt, on either side.
        read = all(hop["at"] for hop in (*found["here"]["hops"], *leg["there"]))
        return found if read else None

    return until(look)


READERS = {f"read model {name}" for name in ("contacts", "history", "figures")}
"""Of a contact."""


@pytest.mark.slow
def test_a_fact_is_followed_to_the_last_inch(three: tuple[Site, Site, Site]) -> None:
    origin, host, _ = three
    outflow, _ = cared_for(origin, host)
    made = origin.post("/contacts", contact(outflow))

    found = arrived(host, origin, made["id"])

    assert (found["topic"], found["keeper"]) == ("contact.made", origin.code)
    assert names(found["here"]["hops"])[0] == "recorded"
    assert set(names(found["here"]["hops"])[1:]) == READERS
    (leg,) = found["peers"]
    assert names(leg["hops"]) == ["numbered", "sent", "receipt"]
    assert leg["hops"][1]["note"] == "HTTP"
    assert leg["not_asked"] is None
    there = names(leg["there"])
    assert there[:2] == ["inbox, verified", "recorded"]
    assert set(there) >= READERS
    for hops in (found["here"]["hops"], leg["hops"], leg["there"]):
        assert all(hop["at"] for hop in hops)
        assert all(0 <= hop["after_s"] < 30 for hop in hops)


@pytest.mark.slow
def test_the_other_side_sees_the_same_fact_from_there(three: tuple[Site, Site, Site]) -> None:
    origin, host, _ = three
    outflow, _ = cared_for(origin, host)
    made = origin.post("/contacts", contact(outflow))
    arrived(host, origin, made["id"])

    found = host.get(f"/facts/{made['id']}/1/where")

    assert found["keeper"] == origin.code
    (leg,) = found["peers"]
    assert names(leg["hops"]) == ["inbox, verified"]
    assert names(leg["there"]) == ["recorded", "numbered", "sent", "receipt"]
    assert leg["number"] == int(leg["there"][1]["note"])


def test_a_receipt_s_position_finds_its_fact(three: tuple[Site, Site, Site]) -> None:
    origin, _, _ = three
    receipt = origin.post("/members", person())

    found = origin.get(f"/facts/{receipt['position']}/where")

    assert (found["stream"], found["topic"]) == (receipt["id"], "member.registered")
    problem(origin.ask("/facts/999999999/where"), 404, "not-found")
    problem(origin.ask(f"/facts/{uuid4()}/1/where"), 404, "not-found")


def test_a_fact_of_ours_alone_goes_nowhere(three: tuple[Site, Site, Site]) -> None:
    origin, _, _ = three
    member, _ = absent(origin)

    found = origin.get(f"/facts/{member}/1/where")

    assert found["peers"] == []
    assert names(found["here"]["hops"])[0] == "recorded"


@pytest.mark.slow
def test_of_a_peer_that_is_away_our_own_half_is_shown(three: tuple[Site, Site, Site]) -> None:
    origin, _, host = three
    outflow, _ = cared_for(origin, host)
    host.stop()
    try:
        made = origin.post("/contacts", contact(outflow))
        found = until(
            lambda: (f := origin.get(f"/facts/{made['id']}/1/where"))["peers"][0]["hops"] and f
        )
    finally:
        host.start()

    (leg,) = found["peers"]
    assert names(leg["hops"])[0] == "numbered"
    assert "receipt" not in names(leg["hops"])
    assert leg["there"] is None
    assert leg["not_asked"].startswith("ConnectError")
    assert arrived(host, origin, made["id"])


def test_a_fact_that_is_set_aside_is_found_there(three: tuple[Site, Site, Site]) -> None:
    origin, host, _ = three
    outflow, _ = cared_for(origin, host)
    with refusing("contact.made"):
        made = origin.post("/contacts", contact(outflow))
        until(lambda: host.get("/quarantine"))
        found = arrived(host, origin, made["id"])

    (leg,) = found["peers"]
    assert names(leg["hops"]) == ["numbered", "sent", "receipt", "set aside there"]
    assert names(leg["there"]) == ["parked"]
    assert "not-their-topic" not in leg["there"][0]["note"]
    assert "来件方无权作此记录" in leg["there"][0]["note"]
    ours = host.get(f"/facts/{made['id']}/1/where")
    assert names(ours["here"]["hops"]) == ["parked"]
    host.http.post("/quarantine/retry", params={"peer": "jiuquan", "dry_run": False, "count": 1})
    until(
        lambda: (
            "set aside there"
            not in names(origin.get(f"/facts/{made['id']}/1/where")["peers"][0]["hops"])
        )
    )


def asked(asker: Site, there: Site, stream: str, **changed: str) -> httpx.Response:
    values = {"of": there.code, "stream": stream, "version": "1", **changed}
    query = "&".join(f"{name}={value}" for name, value in values.items())
    url = f"{there.url}/lanes/{asker.code}/where?{query}"
    headers = signer(asker).headers("GET", url)
    return httpx.get(url, headers=headers, trust_env=False)


def test_a_peer_is_told_only_of_what_it_sent_or_holds(three: tuple[Site, Site, Site]) -> None:
    origin, host, stranger = three
    outflow, _ = cared_for(origin, host)

    holds = Sealed(asked(host, origin, outflow).content)
    other = Sealed(asked(stranger, origin, outflow).content)

    key = origin.node.keys.verify_key
    assert holds.open(Whereabouts, key).hops
    assert other.open(Whereabouts, key).hops == ()
    assert asked(stranger, origin, str(uuid4())).status_code == 200


def test_where_a_fact_is_is_told_to_signed_requests_alone(
    three: tuple[Site, Site, Site],
) -> None:
    origin, host, _ = three
    url = f"{origin.url}/lanes/{host.code}/where?of=jiuquan&stream={uuid4()}&version=1"

    assert httpx.get(url, trust_env=False).status_code == 403
    assert asked(host, origin, str(uuid4()), of="lanzhou").status_code == 403
    assert asked(host, origin, "x").status_code == 422


def test_times_that_are_kept_no_longer_are_said_to_be(
    three: tuple[Site, Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, host, _ = three
    outflow, _ = cared_for(origin, host)
    old = origin.post("/contacts", contact(outflow))
    arrived(host, origin, old["id"])
    new = origin.post("/contacts", contact(outflow))
    arrived(host, origin, new["id"])
    monkeypatch.setattr(book_hops, "HOPS_MAX", 1)
    monkeypatch.setattr("projections.times.TIMES_MAX", 1)

    assert origin.node.lanes.forget_hops() > 0
    assert origin.node.projector.forget_times() > 0

    found = origin.get(f"/facts/{old['id']}/1/where")
    assert [hop["at"] for hop in found["here"]["hops"][1:]] == [None] * len(READERS)
    with origin.node.database.connection() as conn:
        (kept,) = conn.execute("SELECT count(*) FROM read_model_time").fetchone()
    assert kept <= 2
