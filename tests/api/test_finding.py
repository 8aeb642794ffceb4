"""检索: by id number and telephone, over HTTP and the command line; recorded, and limited."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from api.node import Node
from api.searching import ACCOUNTS_MAX, WINDOW_S, Searches, TooManySearches
from api.settings import DATABASE_URL, Settings
from api.storage.programs import Programs
from api.storage.server import EmbeddedServer
from domain import suite
from domain.commands import RecordPhone, RegisterMember
from projections.phones import SearchKeyOther
from sync.key_folder import SEARCH, KeyDamaged
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, cared_for, meet, number, person, until
from tests.api.test_problems import problem

_last = count(1)


def telephone() -> str:
    """A telephone of nobody, never the same twice."""
    return f"13822{next(_last):06}"


def indexed(at: Site) -> None:
    until(lambda: at.node.projector.position("phones") == at.node.ledger.head)


def test_a_telephone_is_found_in_any_spelling(origin: Site) -> None:
    phone = telephone()
    member = origin.post("/members", person(phone=phone))["id"]
    indexed(origin)

    for spelling in (phone, f"+86 {phone[:3]} {phone[3:7]}-{phone[7:]}", f"0086{phone}"):
        found = origin.send("/phones/find", {"phone": spelling}).json()
        assert found["more"] is False
        assert [item["member"] for item in found["items"]] == [member]
        assert found["items"][0]["current"] is True


def test_who_is_in_care_is_found_with_his_absence(origin: Site, host: Site) -> None:
    outflow, inflow = cared_for(origin, host)
    phone = telephone()
    host.post(f"/inflows/{inflow}/details", {"phone": phone})
    indexed(host)

    (item,) = host.send("/phones/find", {"phone": phone}).json()["items"]

    assert (item["outflow"], item["inflow"], item["org"]) == (outflow, inflow, host.code)
    assert item["member"] == host.get(f"/outflows/{outflow}")["member"]


def test_nobody_has_it(origin: Site) -> None:
    answer = origin.send("/phones/find", {"phone": telephone()})

    assert answer.json() == {"items": [], "more": False}


@pytest.mark.parametrize("body", [{}, {"phone": "x"}, {"phone": "1"}, {"number": "13900001234"}])
def test_what_is_no_telephone_is_refused_and_not_repeated(
    origin: Site, body: dict[str, str]
) -> None:
    problem(origin.send("/phones/find", body), 422, "invalid-request")


def test_a_search_is_recorded_without_what_was_searched_for(origin: Site) -> None:
    phone = telephone()
    member = origin.post("/members", person(phone=phone))["id"]
    indexed(origin)

    origin.send("/phones/find", {"phone": phone}, Waystation_Person="wang-searches")

    rows = origin.node.database.rows(
        "SELECT * FROM access WHERE account = %(who)s", {"who": "wang-searches"}
    )
    assert [(row["what"], row["outcome"]) for row in rows] == [("find-phone", "shown")]
    assert phone not in json.dumps(rows, default=str)
    assert rows[0]["count"] >= 1
    seen = origin.get(f"/members/{member}/access")["items"]
    assert "find-phone" in {row["what"] for row in seen}


# The limit.


@pytest.fixture
def strict(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node that lets an account search twice a minute."""
    with fresh(postgres, searches_per_minute=2) as made:
        yield made


def test_who_searches_too_often_is_told_to_wait_and_it_is_recorded(strict: Site) -> None:
    who = {"Waystation_Person": "li"}
    strict.send("/members/find", {"number": number()}, **who)
    strict.send("/phones/find", {"phone": telephone()}, **who)

    for path, body in (("phones", {"phone": telephone()}), ("members", {"number": number()})):
        answer = strict.send(f"/{path}/find", body, **who)
        said = problem(answer, 429, "too-many-searches")
        assert said["maximum"] == 2
        assert 0 < int(answer.headers["Retry-After"]) <= WINDOW_S
    outcomes = strict.node.database.rows("SELECT outcome FROM access ORDER BY number", {})
    assert [row["outcome"] for row in outcomes][-2:] == ["too-many-searches"] * 2
    # Another account is not held up.
    assert strict.send("/phones/find", {"phone": telephone()}).status_code == 200


def test_the_limit_is_of_an_account_and_a_minute_and_of_everybody() -> None:
    now = [0.0]
    searches = Searches(3, lambda: now[0])
    for _ in range(3):
        searches.begin("wang")
        now[0] += 10
    with pytest.raises(TooManySearches) as refused:
        searches.begin("wang")
    assert refused.value.facts["retry_after"] == WINDOW_S - 30
    now[0] = WINDOW_S
    searches.begin("wang")
    # Who calls himself by another name each time comes no further than ten accounts.
    for n in range(3 * ACCOUNTS_MAX - 3):
        searches.begin(f"nobody {n}")
    with pytest.raises(TooManySearches) as refused:
        searches.begin("somebody else")
    assert refused.value.facts["maximum"] == 3 * ACCOUNTS_MAX


# The command line.


def test_the_command_finds_by_either(origin: Site, run: Run) -> None:
    phone, known = telephone(), number()
    member = origin.post("/members", person(phone=phone, number=known))["id"]
    indexed(origin)

    by_phone = json.loads(run("find", "--phone", phone, "--url", origin.url).out)
    by_number = json.loads(run("find", "--number", known, "--url", origin.url).out)

    assert by_phone["items"][0]["member"] == by_number["member"] == member
    assert run("find", "--url", origin.url).code == 2
    assert run("find", "--phone", phone, "--number", known, "--url", origin.url).code == 2


# What the database alone tells.


def dumped(server: EmbeddedServer, *tables: str) -> bytes:
    """What pg_dump writes, of these tables or of all."""
    socket = server.url.partition("host=")[2].replace("%2F", "/")
    program = Programs().folder / "pg_dump"
    only = [f"--table={table}" for table in tables]
    words = [str(program), "-h", socket, "-U", "postgres", *only, "postgres"]
    return subprocess.run(words, capture_output=True, check=True).stdout


SHOWN = {"roster_person", "roster_arrival"}
"""Where the present telephone stands in the clear, to be read (decision 5)."""


@pytest.mark.slow
def test_a_dump_of_all_tables_tells_no_earlier_telephone_nor_its_hash(
    postgres: EmbeddedServer,
) -> None:
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host)
        outflow, inflow = cared_for(origin, host)
        member = origin.get(f"/outflows/{outflow}")["member"]
        earlier, there, now = telephone(), telephone(), telephone()
        origin.post(f"/members/{member}/phone", {"phone": earlier})
        origin.post(f"/members/{member}/phone", {"phone": now})
        host.post(f"/inflows/{inflow}/details", {"phone": there})
        until(lambda: origin.send("/phones/find", {"phone": there}).json()["items"])
        origin.send("/phones/find", {"phone": earlier})
        tables = {
            (at.node.database.schema, row["table_name"])
            for at in (origin, host)
            for row in at.node.database.rows(
                "SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = current_schema()",
                {},
            )
        }

        whole = dumped(postgres)
        hidden = dumped(postgres, *(f"{s}.{t}" for s, t in tables if t not in SHOWN))

    assert b"phone_index" in hidden
    assert b"stored_events" in hidden
    assert not traces(whole, earlier)
    assert traces(whole, now), "The roster shows it."
    assert not traces(hidden, earlier, there, now)


def traces(dump: bytes, *phones: str) -> set[str]:
    """Which of these telephones, or hashes that anybody can make of them, a dump tells."""
    told = set()
    for phone in phones:
        for spelling in (phone, f"86{phone}", f"+86{phone}"):
            raw = spelling.encode()
            digests = (suite.digest(raw), hashlib.sha256(raw).digest(), hashlib.md5(raw).digest())
            looks = {spelling, *(digest.hex()[:24] for digest in digests)}
            told |= {look for look in looks if look.encode() in dump}
    return told


# The key's file.


@pytest.fixture
def home(database: object, postgres: EmbeddedServer, tmp_path: Path) -> Iterator[Path]:
    """A node's folder, with somebody's telephone in its index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATABASE_URL, postgres.url)
        known = {"code": "jiuquan", "name": "酒泉市委组织部"}
        Settings.model_validate(known).save(tmp_path)
        patch.setattr("api.node.SCHEMA", getattr(database, "schema"))  # noqa: B009
        with Node.open(tmp_path) as node:
            node.execute(RegisterMember.model_validate(person()))
            node.settle()
        yield tmp_path


def test_it_is_made_at_the_first_start_and_read_by_its_owner_alone(home: Path) -> None:
    key = home / "keys" / SEARCH

    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert len({(home / "keys" / name).read_bytes() for name in (SEARCH, "blind.key")}) == 2


@pytest.mark.parametrize("lost", [True, False])
def test_a_node_without_the_key_of_its_index_does_not_start_and_names_it(
    home: Path, run: Run, *, lost: bool
) -> None:
    key = home / "keys" / SEARCH
    kept = key.read_bytes()
    if lost:
        key.unlink()
    else:
        key.write_bytes(b"x" * 32)

    for _ in range(2):
        with pytest.raises(SearchKeyOther, match=r"keys/search\.key") as refused:
            Node.open(home)
        assert "waystation keys reindex" in refused.value.mend

    key.write_bytes(kept)
    Node.open(home).close()
    # Or, where it is lost for good, by another.
    key.unlink()
    said = run("keys", "reindex", "--home", home)
    assert json.loads(said.out) == {"telephones": 1}
    assert key.read_bytes() != kept
    with Node.open(home) as node:
        assert node.projector.rebuild("phones") is True


def test_an_index_without_rows_fits_any_key(home: Path) -> None:
    with Node.open(home) as node, node.database.connection() as conn:
        conn.execute("DELETE FROM phone_index")
    (home / "keys" / SEARCH).unlink()

    with Node.open(home) as node:
        (known,) = node.database.rows("SELECT member FROM roster_person", {})
        node.execute(RecordPhone(member=known["member"], phone=telephone()))


def test_a_node_without_the_key_of_its_pseudonyms_makes_no_other_in_silence(home: Path) -> None:
    for name in ("blind.key", "master.key"):
        kept = shutil.copy(home / "keys" / name, home / name)
        (home / "keys" / name).unlink()

        with pytest.raises(KeyDamaged) as refused:
            Node.open(home)

        assert refused.value.facts["file"].endswith(name)
        shutil.copy(kept, home / "keys" / name)
    Node.open(home).close()
