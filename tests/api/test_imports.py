"""导入: a workbook over HTTP; a dry run by default, and the same file twice is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

import api
from tests.api.support import Site
from tests.api.test_problems import problem

SAMPLES = Path(api.__file__).parent / "samples"
LEDGER = SAMPLES / "流出党员台账.xlsx"


def send(at: Site, kind: str, file: Path, **query: Any) -> httpx.Response:
    asked = {"name": file.name, **query}
    return at.http.post(f"/imports/{kind}", params=asked, content=file.read_bytes())


def upload(at: Site, kind: str, file: Path, **query: Any) -> dict[str, Any]:
    answer = send(at, kind, file, **query)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


@pytest.mark.slow
def test_by_default_nothing_is_written(own: Site) -> None:
    before = own.node.ledger.head

    report = upload(own, "outflows", LEDGER)

    assert report["dry_run"] is True
    assert (report["recorded"], len(report["refused"])) == (24, 5)
    assert own.node.ledger.head == before


@pytest.mark.slow
def test_what_was_rehearsed_is_what_is_recorded(own: Site) -> None:
    rehearsed = upload(own, "outflows", LEDGER)

    report = upload(own, "outflows", LEDGER, dry_run=False)

    for name in ("recorded", "repeated", "refused", "warnings", "digest", "file", "not_ours"):
        assert report[name] == rehearsed[name]
    assert len(own.get("/outflows", after=report["position"])["items"]) == 24


@pytest.mark.slow
@pytest.mark.parametrize("dry_run", [True, False])
def test_the_same_file_again_changes_nothing(own: Site, dry_run: bool) -> None:  # noqa: FBT001
    first = upload(own, "outflows", LEDGER, dry_run=False)
    before = own.node.ledger.head

    again = upload(own, "outflows", LEDGER, dry_run=dry_run)

    assert own.node.ledger.head == before
    assert (again["recorded"], again["repeated"]) == (0, first["recorded"])
    assert again["refused"] == first["refused"]


@pytest.mark.slow
def test_the_same_people_in_another_file_are_refused_row_by_row(own: Site, tmp_path: Path) -> None:
    upload(own, "outflows", LEDGER, dry_run=False)
    other = tmp_path / "另存.xlsx"
    # A byte behind the archive makes it another file with the same rows.
    other.write_bytes(LEDGER.read_bytes() + b"\0")
    before = own.node.ledger.head

    report = upload(own, "outflows", other, dry_run=False)

    assert own.node.ledger.head == before
    assert report["recorded"] == 0
    assert len(report["refused"]) + report["repeated"] == 29


@pytest.mark.slow
def test_contacts_of_nobody_known_here_are_refused(host: Site) -> None:
    report = upload(host, "contacts", SAMPLES / "联系记录.xlsx")

    assert report["recorded"] == 0
    assert {fault["rule"] for fault in report["refused"]} == {"nobody-of-that-number"}
    assert report["not_ours"] > 0


@pytest.mark.slow
def test_a_station_reads_its_own_sheet_alone(host: Site) -> None:
    report = upload(host, "party-days", SAMPLES / "主题党日签到表.xlsx")

    assert report["not_ours"] > 0
    assert {fault["sheet"] for fault in report["refused"]} == {"成都站"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["..", ".", "", "/", "../../x.xlsx", "a/b.xlsx", "表" * 200, "%2e%2e", "a\\b.xlsx"]
)
def test_no_name_of_a_file_leads_anywhere(own: Site, name: str) -> None:
    answer = own.http.post("/imports/outflows", params={"name": name}, content=LEDGER.read_bytes())

    assert answer.status_code == 200, answer.text
    assert "/" not in answer.json()["file"]


@pytest.mark.parametrize("name", ["%00", "a%00.xlsx", "%1b[2J.xlsx", "x" * 201])
def test_a_name_that_is_no_text_is_refused(origin: Site, name: str) -> None:
    url = f"/imports/outflows?name={name}"

    answer = origin.http.post(url, content=LEDGER.read_bytes())

    problem(answer, 422, "invalid-request")


def test_a_kind_nobody_knows_is_refused(origin: Site) -> None:
    problem(send(origin, "nothing", LEDGER), 422, "invalid-request")


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_what_is_no_workbook_is_refused_as_a_problem(origin: Site, content: bytes) -> None:
    answer = origin.http.post("/imports/outflows", content=content)

    assert problem(answer, answer.status_code, answer.json()["type"].rsplit("/", 1)[1])
    assert 400 <= answer.status_code < 500


@pytest.mark.slow
def test_the_wrong_workbook_is_refused(origin: Site) -> None:
    problem(send(origin, "contacts", LEDGER), 422, "headings-not-found")
