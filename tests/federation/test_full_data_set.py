"""全部数据: the ledger of 196 members and their year, at the origin and at five stations."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from api.agreement.kept import proven_at
from api.agreement.reconcile import Reconciler
from api.storage.server import EmbeddedServer
from domain.ledger import BATCH_MAX
from domain.member import Member
from domain.outflow import Outflow
from projections import activities, contacts, custody, roster
from tests.federation import year as stories
from tests.federation.shared import LEDGER, expected
from tests.federation.year import STATIONS, Year, a_year
from tests.support.federation import NOW, ORIGIN
from tests.sync.reconciling import ByHand

pytestmark = pytest.mark.slow

SYMBOLS = {
    "present": "√",
    "late": "#",
    "sick": "O",
    "official": "★",
    "personal": "△",
    "absent": "×",
}
READ_MODELS = (
    "roster",
    "custody",
    "contacts",
    "activities",
    "history",
    "transfers",
    "affiliations",
)

Streams = dict[tuple[Any, int], tuple[str, bytes]]


@pytest.fixture(scope="module")
def wanted() -> dict[str, Any]:
    return expected()


@pytest.fixture(scope="module")
def year(wanted: dict[str, Any], postgres: EmbeddedServer) -> Iterator[Year]:  # noqa: ARG001
    """Brought in once for all the tests of this module; none of them changes it."""
    with a_year(postgres.url, "full") as made:
        for what, seconds in made.seconds.items():
            sys.stdout.write(f"{what:32}{seconds:6.1f} s\n")
        sys.stdout.write(f"{'together':32}{sum(made.seconds.values()):6.1f} s\n")
        yield made


# The ledger, row by row.


def rows_of(wanted: dict[str, Any], verdict: str) -> dict[tuple[str, int], dict[str, str]]:
    sheets = wanted["files"][LEDGER]["sheets"]
    return {
        (sheet, int(row)): said
        for sheet, rows in sheets.items()
        for row, said in rows.items()
        if said["verdict"] == verdict
    }


def test_every_good_row_is_recorded_with_where_it_came_from(
    year: Year, wanted: dict[str, Any]
) -> None:
    good = rows_of(wanted, "accept")

    assert len(good) == year.ledger.recorded == wanted["members"]
    ledger = year.origin.ledger
    for (sheet, row), said in good.items():
        member = ledger.look_up(Member, ledger.keyring.blind("member", said["number"]))
        outflow = ledger.look_up(Outflow, member.away)
        for stream in (member.id, outflow.id):
            source = ledger.facts(stream)[0].meta.source
            assert (source.file, source.sheet, source.row) == (LEDGER, sheet, row)
            assert source.digest == year.ledger.digest


def test_every_bad_row_is_refused_by_column_and_rule(year: Year, wanted: dict[str, Any]) -> None:
    bad = rows_of(wanted, "reject")

    assert {(f.sheet, f.row): (f.column, f.rule) for f in year.ledger.refused} == {
        place: (said["field"], said["why"]) for place, said in bad.items()
    }
    assert len(year.ledger.refused) == wanted["files"][LEDGER]["rejected"]


# The year.


def test_every_contact_and_every_mark_is_recorded(year: Year, wanted: dict[str, Any]) -> None:
    files = wanted["files"]
    for reports, total in (
        (year.contacts, files[stories.CONTACTS]["rows"]),
        (year.marks, files[stories.PARTY_DAYS]["marks_total"]),
    ):
        assert [fault for report in reports.values() for fault in report.refused] == []
        assert sum(report.recorded for report in reports.values()) == total
        assert {report.recorded + report.not_ours for report in reports.values()} == {total}


def test_every_member_is_in_the_care_of_the_station_of_its_row(
    year: Year, wanted: dict[str, Any]
) -> None:
    nobody = {"origin": None, "host": None, "member": None, "state": None}
    for code in (ORIGIN, *STATIONS):
        away = year.rows(code, roster.AWAY, **nobody)
        members = Counter(row["host"] for row in away)
        asked = STATIONS if code == ORIGIN else {code: STATIONS[code]}
        assert members == {each: wanted["stations"][city] for each, city in asked.items()}


def test_as_many_were_reached_as_the_sheets_say(year: Year, wanted: dict[str, Any]) -> None:
    count = "SELECT count(*) AS n FROM contact WHERE reached AND %(limit)s > 0"
    reached = {code: year.rows(code, count)[0]["n"] for code in (ORIGIN, *STATIONS)}

    total = wanted["files"][stories.CONTACTS]["reached"]
    assert reached.pop(ORIGIN) == sum(reached.values()) == total


def test_the_marks_are_those_of_the_paper(year: Year, wanted: dict[str, Any]) -> None:
    file = wanted["files"][stories.PARTY_DAYS]
    asked = {"activity": None, "outflow": None}
    marks = Counter(SYMBOLS[row["mark"]] for row in year.rows(ORIGIN, activities.MARKS, **asked))

    assert marks == file["marks"]
    assert len(year.rows(ORIGIN, activities.HELD, org=None)) == file["activities"]


# The same on both sides.


def records(year: Year, code: str, other: str) -> Streams:
    """What a node holds of the streams that concern another."""
    held: Streams = {}
    concern = set()
    position = 0
    while entries := year.six[code].ledger.since(position, BATCH_MAX):
        for entry in entries:
            record, fact = entry.record, entry.fact
            assert fact is not None
            held[record.originator_id, record.originator_version] = (record.topic, record.state)
            if other in {fact.meta.keeper, *fact.meta.audience}:
                concern.add(record.originator_id)
        position = entries[-1].position
    return {key: said for key, said in held.items() if key[0] in concern}


@pytest.mark.parametrize("code", STATIONS)
def test_what_concerns_both_is_the_same_byte_for_byte(year: Year, code: str) -> None:
    ours, theirs = records(year, ORIGIN, code), records(year, code, ORIGIN)

    assert ours.keys() == theirs.keys()
    assert ours == theirs
    assert len(ours) > 1_000


@pytest.mark.parametrize("code", STATIONS)
def test_both_sides_read_the_same_rows(year: Year, code: str) -> None:
    today, nothing = date(2026, 1, 5), {"outflow": None}
    due = {"overdue": False, "today": today, "default_days": 30, **nothing}
    for query, mine, key in (
        (roster.AWAY, {"origin": None, "host": code, "member": None, "state": None}, "outflow"),
        (custody.BOARD, {"open": True, **nothing}, "outflow"),
        (contacts.DUE, {"carer": code, **due}, "outflow"),
        (activities.HELD, {"org": code}, "activity"),
        (activities.MARKS, {"activity": None, **nothing}, None),
    ):
        theirs = year.rows(code, query, **mine)
        ours = year.rows(ORIGIN, query, **mine)
        if key is not None:
            there = {row[key] for row in theirs}
            ours = [row for row in ours if row[key] in there]
        else:
            held = {row["activity"] for row in theirs}
            ours = [row for row in ours if row["activity"] in held]
        assert theirs == ours
        assert len(theirs) >= 12


# Once more.


def test_importing_every_file_again_changes_nothing(year: Year) -> None:
    before = year.heads()

    again = [
        (year.ledger, stories.import_ledger(year.origin)),
        *((year.contacts[c], stories.import_contacts(year.six[c])) for c in STATIONS),
        *((year.marks[c], stories.import_marks(year.six[c])) for c in STATIONS),
    ]

    assert year.heads() == before
    for first, second in again:
        assert (second.recorded, second.repeated) == (0, first.recorded)
        assert second.refused == first.refused


@pytest.mark.parametrize("code", [ORIGIN, *STATIONS])
def test_a_read_model_built_anew_is_the_same(year: Year, code: str) -> None:
    assert {name: year.six[code].projector.rebuild(name) for name in READ_MODELS} == dict.fromkeys(
        READ_MODELS, True
    )


# And both sign it. Last, because certificates are facts.


@pytest.mark.parametrize("code", STATIONS)
def test_the_origin_and_a_station_sign_that_they_agree(year: Year, code: str) -> None:
    started = time.perf_counter()
    way = ByHand(year.six, ORIGIN, code)

    report = Reconciler(year.origin, lambda _: way, lambda: None).run(code, dry_run=False)

    assert report.equal, report.first
    assert report.last is not None
    rows = sum(map(len, report.last.snapshot.hashes.values()))
    sys.stdout.write(f"{code}: {rows} rows, {time.perf_counter() - started:.2f} s\n")
    assert rows > 2_000
    assert proven_at(year.origin, code) == proven_at(year.six[code], ORIGIN) == NOW
