"""数据包: two nodes that no network joins, whose officers carry files between them."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.routes.bundles import SAYS
from api.storage.server import EmbeddedServer
from sync.bundle_file import BUNDLE_BYTES
from tests.api.conftest import HOST, Run, Said, fresh
from tests.api.support import ACCEPTANCE, Site, absent, free_port, until
from tests.api.test_problems import problem
from tests.sync.test_given_back import Nobody


@dataclass
class Apart:
    """An origin and a station; each officer has a folder, and the command line."""

    origin: Site
    station: Site
    run: Run
    folder: Path

    def at(self, site: Site, *words: object) -> Said:
        return self.run(*words, "--url", site.url)

    def export(self, site: Site, to: Site, *words: str) -> list[Path]:
        """What an officer writes for the other; nothing where nothing is new."""
        before = set(self.folder.iterdir())
        said = self.at(site, "bundle", "export", "--to", to.code, "--out", self.folder, *words)
        assert said.code == 0, said.err
        return sorted(set(self.folder.iterdir()) - before)

    def take(self, site: Site, *files: Path) -> Said:
        return self.at(site, "bundle", "import", *files)

    def pass_on(self, site: Site, to: Site) -> Said:
        """Export, carry, import."""
        files = self.export(site, to)
        assert files
        said = self.take(to, *files)
        assert said.code == 0, said.out
        return said


@pytest.fixture(scope="module")
def nodes(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    with fresh(postgres) as origin, fresh(postgres, **HOST) as station:
        yield origin, station


@pytest.fixture
def apart(nodes: tuple[Site, Site], run: Run, tmp_path: Path) -> Apart:
    """The two, who have enrolled each other's card file and no network path."""
    made = Apart(*nodes, run, tmp_path / "stick")
    made.folder.mkdir()
    for here, there in (nodes, nodes[::-1]):
        shown, fingerprint = there.card()
        file = tmp_path / f"{there.code}.card"
        file.write_text(shown, encoding="utf-8")
        said = made.at(here, "enrol", file, fingerprint, "--by-file")
        assert said.code == 0, said.err
    return made


def lane(at: Site, of: Site) -> dict[str, object]:
    (peer,) = (p for p in at.get("/peers") if p["peer"] == of.code)
    assert isinstance(peer, dict)
    return peer


def same_facts(one: Site, other: Site) -> int:
    """How many facts both hold; each must be the same byte for byte."""
    first, second = (
        {(e.record.originator_id, e.record.originator_version): e.record.state for e in entries}
        for entries in (one.node.ledger.since(0), other.node.ledger.since(0))
    )
    shared = first.keys() & second.keys()
    assert all(first[key] == second[key] for key in shared)
    return len(shared)


def offered(apart: Apart) -> str:
    _, outflow = absent(apart.origin)
    apart.origin.post(f"/outflows/{outflow}/offers", {"host": apart.station.code})
    return outflow


def contacts(at: Site, outflow: str) -> int:
    rows = at.get("/contacts/due", outflow=outflow, carer="chengdu")["items"]
    return int(rows[0]["contacts"]) if rows else 0


def handed_over(apart: Apart) -> str:
    """An absence in the station's care, known on both sides, by files alone."""
    outflow = offered(apart)
    apart.pass_on(apart.origin, apart.station)
    apart.station.post(f"/inflows/{outflow}/offers/1/accepted", ACCEPTANCE)
    apart.pass_on(apart.station, apart.origin)
    confirmed = "outflow.confirmed"
    until(lambda: apart.origin.get("/history", outflow=outflow, topic=confirmed)["items"])
    apart.pass_on(apart.origin, apart.station)
    until(lambda: apart.station.get(f"/outflows/{outflow}")["carer"] == apart.station.code)
    return outflow


@pytest.mark.slow
def test_a_whole_story_is_told_by_files(apart: Apart) -> None:
    outflow = handed_over(apart)
    contact = {"outflow": outflow, "on": "2025-05-01", "method": "电话", "by": "李干事"}
    apart.station.post("/contacts", contact)

    said = apart.pass_on(apart.station, apart.origin)

    assert "新登记 0 条 new" not in said.out
    until(lambda: contacts(apart.origin, outflow) == 1)
    apart.pass_on(apart.origin, apart.station)
    for here, there in ((apart.origin, apart.station), (apart.station, apart.origin)):
        shown = lane(here, there)
        assert shown["out_acknowledged"] == shown["out_head"]
        assert (shown["channel"], shown["lane"]) == ("bundle", None)
    assert same_facts(apart.origin, apart.station) >= 6
    assert apart.origin.running.worker.pullers == {}


def test_an_export_says_what_it_wrote(apart: Apart) -> None:
    offered(apart)

    said = apart.at(apart.origin, "bundle", "export", "--to", "chengdu", "--out", str(apart.folder))

    (file,) = apart.folder.iterdir()
    number = lane(apart.origin, apart.station)["bundles"]["exported"]  # type: ignore[index]
    assert file.name == f"jiuquan-chengdu-{number:06}.bundle"
    assert file.stat().st_mode & 0o777 == 0o600
    name, digest, holds, then = said.out.strip().splitlines()
    assert name == str(file)
    assert digest.startswith("  SHA-256 ")
    assert "lane numbers" in holds
    assert "waystation bundle import" in then
    apart.take(apart.station, file)


def test_without_news_an_export_says_so_and_again_is_possible(apart: Apart) -> None:
    offered(apart)
    (first,) = apart.export(apart.origin, apart.station)

    said = apart.at(apart.origin, "bundle", "export", "--to", "chengdu")

    assert said.code == 0
    assert "没有新内容" in said.out
    assert "--again" in said.out
    (second,) = apart.export(apart.origin, apart.station, "--again")
    assert "新登记 0 条 new" not in apart.take(apart.station, second).out
    assert "新登记 0 条 new" in apart.take(apart.station, first).out


def test_the_same_file_twice_says_so(apart: Apart) -> None:
    offered(apart)
    (file,) = apart.export(apart.origin, apart.station)
    apart.take(apart.station, file)
    copy = apart.folder / "renamed.bin"
    shutil.copy(file, copy)

    said = apart.take(apart.station, copy)

    assert said.code == 0
    assert "新登记 0 条 new" in said.out
    assert "was imported before" in said.out


def test_an_import_says_that_an_answer_is_due(apart: Apart) -> None:
    offered(apart)
    (file,) = apart.export(apart.origin, apart.station)

    said = apart.take(apart.station, file)

    assert "waystation bundle export --to jiuquan" in said.out
    answered = apart.pass_on(apart.station, apart.origin)
    assert "they have ours up to" in answered.out
    assert "bundle export" not in answered.out


def test_several_files_are_taken_in_as_they_are_numbered(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(apart)
    apart.pass_on(apart.origin, apart.station)
    apart.pass_on(apart.station, apart.origin)
    monkeypatch.setattr("sync.lane_bundle.BATCHES_MAX", 1)
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 2)
    offered(apart)
    files = apart.export(apart.origin, apart.station)
    assert len(files) >= 3

    early = apart.take(apart.station, files[2])
    said = apart.take(apart.station, *reversed(files))

    assert early.code == 1
    assert "are missing before it" in early.out
    number = int(files[0].stem[-6:])
    assert f"bundles {number}–{number + 1}" in early.out
    assert said.code == 0
    assert same_facts(apart.origin, apart.station)


def test_what_a_restored_node_lacks_is_asked_for_and_given_back_by_the_same_commands(
    apart: Apart,
) -> None:
    outflow = handed_over(apart)
    origin, station = apart.origin, apart.station
    # As after `fence renew --without`: what the station holds of its lane is not compared yet.
    origin.node.lanes.hold(station.code, taken=True)
    origin.node.relay.relearn()

    said = apart.at(origin, "bundle", "export", "--to", station.code, "--out", apart.folder)
    assert "it only asks for what was once sent" in said.out
    (asked,) = sorted(apart.folder.glob(f"{origin.code}-*"))[-1:]
    said = apart.take(station, asked)
    assert said.code == 0, said.out
    assert "they restored an old backup" in said.out
    assert f"bundle export --to {origin.code}" in said.out
    said = apart.at(station, "bundle", "export", "--to", origin.code, "--out", apart.folder)
    assert "gives back 1 pages of theirs" in said.out
    (given,) = sorted(apart.folder.glob(f"{station.code}-*"))[-1:]
    said = apart.take(origin, given)
    assert said.code == 0, said.out
    assert "they gave back 1 pages of ours" in said.out

    assert origin.node.restoring.step(Nobody())
    assert not origin.node.relay.held
    assert same_facts(origin, station)
    contacts(origin, outflow)
    (exported,) = station.get("/access", act="export")["items"][:1]
    assert exported["count"] >= 1


def test_a_lost_file_is_made_good_by_the_next(apart: Apart) -> None:
    offered(apart)
    (lost,) = apart.export(apart.origin, apart.station)
    lost.unlink()
    offered(apart)

    said = apart.pass_on(apart.origin, apart.station)

    assert "unseen, nothing missing" in said.out
    assert (
        lane(apart.station, apart.origin)["in_number"]
        == (lane(apart.origin, apart.station)["out_head"])
    )


def test_the_wrong_node_says_whose_file_it_is(apart: Apart) -> None:
    offered(apart)
    (file,) = apart.export(apart.origin, apart.station)

    said = apart.take(apart.origin, file)

    assert said.code == 1
    assert "jiuquan → chengdu" in said.out
    assert "请转交收件组织" in said.out
    apart.take(apart.station, file)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "found=empty"),
        (b"PK\x03\x04", "found=zip"),
        ("一封信".encode(), "这不是数据包"),
        (b"waystation/bundle/v9 jiuquan chengdu 1 x\n", "请双方使用同一版本"),
        (b"waystation/bundle/v1 jiuquan chen", "请重新拷贝"),
        (b"waystation/bundle/v1 " + b"x" * BUNDLE_BYTES, "来件超过大小限制"),
        (None, "不能读取这个文件"),
    ],
)
def test_what_is_no_bundle_is_told_and_the_others_are_taken_in(
    apart: Apart, content: bytes | None, told: str
) -> None:
    offered(apart)
    (good,) = apart.export(apart.origin, apart.station)
    bad = apart.folder / "bad"
    if content is None:
        bad.mkdir()
    else:
        bad.write_bytes(content)

    said = apart.take(apart.station, bad, good)

    assert said.code == 1
    first = said.out.splitlines()[0]
    assert first.startswith(f"{bad}: ")
    assert told in first
    assert f"{good}: 新登记" in said.out


def test_a_file_that_is_not_there_is_told(apart: Apart) -> None:
    said = apart.take(apart.station, apart.folder / "nothing")

    assert said.code == 1
    assert "不能读取这个文件" in said.out
    assert "No such file" in said.out


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_is_made(apart: Apart) -> None:
    offered(apart)
    number = lane(apart.origin, apart.station)["bundles"]

    said = apart.at(apart.origin, "bundle", "export", "--to", "chengdu", "--out", "/no/where")

    assert "不能写入这个文件夹" in said.sentence
    assert lane(apart.origin, apart.station)["bundles"] == number


def test_a_file_is_never_overwritten(apart: Apart) -> None:
    offered(apart)
    number = int(str(lane(apart.origin, apart.station)["bundles"]["exported"]))  # type: ignore[index]
    there = apart.folder / f"jiuquan-chengdu-{number + 1:06}.bundle"
    there.write_bytes(b"mine")

    said = apart.at(apart.origin, "bundle", "export", "--to", "chengdu", "--out", str(apart.folder))

    assert "不覆盖" in said.sentence
    assert there.read_bytes() == b"mine"
    assert apart.export(apart.origin, apart.station, "--again")


def test_a_file_that_has_no_room_is_removed(apart: Apart) -> None:
    offered(apart)
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, bounds[1]))
    try:
        said = apart.at(
            apart.origin, "bundle", "export", "--to", "chengdu", "--out", str(apart.folder)
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)

    assert "文件没有写成" in said.sentence
    assert list(apart.folder.iterdir()) == []
    assert apart.export(apart.origin, apart.station, "--again")


def test_nobody_exports_to_a_stranger(apart: Apart) -> None:
    said = apart.at(apart.origin, "bundle", "export", "--to", "stranger")

    assert "来件方未登记" in said.sentence or "尚未与该组织互换名片" in said.sentence


def test_a_node_that_is_not_there_is_said_to_be(run: Run, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    said = run("bundle", "export", "--to", "x", "--out", tmp_path, "--url", url)

    assert "节点没有应答" in said.sentence


def test_a_body_beyond_the_limit_is_refused_unread(apart: Apart) -> None:
    answer = apart.station.http.post("/bundles", content=b"x" * (BUNDLE_BYTES + 1))

    problem(answer, 413, "too-large")


def test_anything_may_be_posted_and_nothing_breaks(apart: Apart) -> None:
    for body in (b"", b"{}", b"\xff" * 1000):
        answer = apart.station.http.post("/bundles", content=body)
        assert answer.status_code == 200
        assert answer.json()["refused"][0]["code"] == "not-a-bundle"


def test_without_news_the_interface_answers_with_nothing(apart: Apart) -> None:
    offered(apart)
    apart.origin.http.post("/bundles/chengdu")

    answer = apart.origin.http.post("/bundles/chengdu")

    assert (answer.status_code, answer.content) == (204, b"")
    assert json.loads(answer.headers[SAYS])["exported"] > 0


# Which way a peer is reached.


@pytest.mark.slow
def test_a_peer_that_files_reach_is_not_pulled_until_it_is_enrolled_otherwise(
    apart: Apart,
) -> None:
    pullers = apart.origin.running.worker.pullers
    shown, fingerprint = apart.station.card()
    said = {"card": shown, "fingerprint": fingerprint}
    offered(apart)

    apart.origin.post("/peers", said)
    until(lambda: set(pullers) == {"chengdu"})
    assert lane(apart.origin, apart.station)["channel"] == "http"
    apart.origin.post("/peers", {**said, "lane": "bundle"})

    until(lambda: not pullers)
    assert lane(apart.origin, apart.station)["channel"] == "bundle"


@pytest.mark.slow
def test_a_lane_goes_on_by_network_where_files_left_off(apart: Apart) -> None:
    outflow = handed_over(apart)
    for here, there in ((apart.origin, apart.station), (apart.station, apart.origin)):
        shown, fingerprint = there.card()
        here.post("/peers", {"card": shown, "fingerprint": fingerprint})
    contact = {"outflow": outflow, "on": "2025-06-01", "method": "电话", "by": "李干事"}

    apart.station.post("/contacts", contact)

    until(lambda: apart.origin.get("/history", outflow=outflow, topic="contact.")["items"])


def test_a_way_nobody_knows_is_refused(apart: Apart) -> None:
    shown, fingerprint = apart.station.card()

    answer = apart.origin.send(
        "/peers", {"card": shown, "fingerprint": fingerprint, "lane": "pigeon"}
    )

    assert problem(answer, 422, "invalid-request")["errors"][0]["pointer"] == "/body/lane"
