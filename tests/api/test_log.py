"""可验证台账: peers read the hashes of a ledger, whoever is at its machine the entries too."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.routes.log import FOR_EVER
from api.storage.server import EmbeddedServer
from api.worker import CHECKPOINT_PAUSE_S
from domain.records import leaf
from domain.tree import consistent, ours
from domain.values import utc_now
from sync.checkpoint import Checkpoint, believed, origin_of, verifiers
from sync.contradiction import Evidence
from sync.note import Verifier
from sync.proof import Proof
from sync.signed_http import Signer
from tests.api.conftest import Run, fresh
from tests.api.support import Site, person, until
from tests.api.test_door import ELSEWHERE, Caller
from tests.api.test_peers import card
from tests.api.test_problems import problem


@pytest.fixture(scope="module")
def mine(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node with fewer than 256 entries."""
    with fresh(postgres) as made:
        yield made


def known(at: Site) -> list[Verifier]:
    return verifiers(origin_of(at.code, 1), [at.node.keys.verify_key])


def newest(at: Site) -> Checkpoint:
    answer = at.ask("/log/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    return believed(answer.content, known(at))[0]


@pytest.mark.slow
def test_a_checkpoint_follows_a_commit_within_a_second_or_so(mine: Site) -> None:
    receipt = mine.post("/members", person())

    said = until(lambda: (c := newest(mine)).size >= receipt["position"] and c, 5.0)

    assert said.origin == f"{mine.code}/ledger/1"
    assert CHECKPOINT_PAUSE_S <= 1.0


def test_a_fact_is_proved_to_whoever_holds_the_card(mine: Site) -> None:
    receipt = mine.post("/members", person())
    (record,) = mine.node.ledger.stream(receipt["id"])  # type: ignore[arg-type]

    by_position = mine.ask(f"/facts/{receipt['position']}/proof")
    by_name = mine.ask(f"/facts/{receipt['id']}/{receipt['version']}/proof")

    for answer in (by_position, by_name):
        assert answer.status_code == 200
        assert len(answer.content) <= 4096
        assert "tlog-proof" in answer.headers["Content-Disposition"]
        proof = Proof.read(answer.content)
        assert proof.index == receipt["position"] - 1
        assert proof.proves(leaf(record), known(mine)).size >= receipt["position"]


@pytest.mark.parametrize(
    "path", ["/facts/999999/proof", f"/facts/{'0' * 8}-0000-0000-0000-{'0' * 12}/1/proof"]
)
def test_what_is_not_there_is_not_proved(mine: Site, path: str) -> None:
    problem(mine.ask(path), 404, "not-found")


@pytest.mark.slow
def test_two_checkpoints_are_of_one_history(mine: Site) -> None:
    mine.post("/members", person())
    first = until(lambda: (c := newest(mine)).size and c)
    mine.post("/members", person())
    second = until(lambda: (c := newest(mine)).size > first.size and c)

    said = mine.get("/log/consistency", **{"from": first.size, "to": second.size})

    assert (said["from"], said["to"], said["suite"]) == (first.size, second.size, "SHA-256+Ed25519")
    proof = [b64decode(each) for each in said["proof"]]
    consistent(ours(), first.size, second.size, proof, first.root, second.root)


@pytest.mark.parametrize("sizes", [(0, 1), (0, 0), (2, 1), (1, 999_999)])
def test_no_consistency_of_sizes_that_are_not_there(mine: Site, sizes: tuple[int, int]) -> None:
    answer = mine.ask("/log/consistency", **{"from": sizes[0], "to": sizes[1]})

    assert "mend" in problem(answer, 422, "sizes-unfit")


def test_the_tree_is_built_again_from_its_tiles(mine: Site) -> None:
    mine.post("/members", person())
    said = newest(mine)

    tile = mine.ask(f"/log/tile/0/000.p/{said.size}")
    entries = mine.ask(f"/log/tile/entries/000.p/{said.size}")

    for answer in (tile, entries):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Cache-Control"] == FOR_EVER
    leaves = list(unbundled(entries.content))
    assert tile.content == b"".join(map(ours().leaf, leaves))
    assert leaves == [leaf(entry.record) for entry in mine.node.ledger.since(0, said.size)]


def unbundled(bundle: bytes) -> Iterator[bytes]:
    """As C2SP tlog-tiles has it: each behind its length in two bytes."""
    while bundle:
        length = int.from_bytes(bundle[:2])
        yield bundle[2 : 2 + length]
        bundle = bundle[2 + length :]


@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        "0/000.p/255",
        "1/000.p/1",
        "0/001.p/1",
        "63/x001/000",
        "entries/000",
        "entries/001.p/1",
    ],
)
def test_a_tile_that_is_not_full_or_not_there_is_not_found(mine: Site, path: str) -> None:
    problem(mine.ask(f"/log/tile/{path}"), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "0/0",
        "00/000.p/1",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/0",
        "64/000",
        "0/x000/000.p/1",
        "-1/000",
        "entries/000.p/",
        "0/000.p/1/",
        "",
    ],
)
def test_a_tile_has_one_address(mine: Site, path: str) -> None:
    problem(mine.ask(f"/log/tile/{path}"), 404, "not-found")


@pytest.mark.slow
def test_a_damaged_ledger_answers_records_nothing_and_says_so(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as broken:
        broken.post("/members", person())
        assert "ledger" not in broken.get("/health")["stopped"]
        with broken.node.database.connection() as conn:
            conn.execute("UPDATE tree_head SET size = size + 1")

        answer = broken.send("/members", person())

        assert "备份" in problem(answer, 503, "ledger-damaged")["mend"]
        assert "ledger" in broken.get("/health")["stopped"]
        until(lambda: "checkpoints" in broken.get("/health")["stopped"])
        assert broken.ask("/facts/1/where").status_code == 200


# Who may read.


def as_peer(origin: Site, host: Site, path: str) -> httpx.Response:
    """The host asks from another machine, by a request it has signed."""
    signer = Signer(host.code, host.node.keys, host.node.clock)
    headers: dict[str, Any] = signer.headers("GET", f"{origin.url}{path}")
    return Caller(origin, ELSEWHERE).ask("GET", path, headers=headers)


HASHES = ("/log/checkpoint", "/log/tile/0/000.p/1", "/log/consistency?from=1&to=2")


@pytest.mark.parametrize("path", HASHES)
def test_a_peer_reads_hashes(origin: Site, host: Site, path: str) -> None:
    origin.post("/members", person())

    assert as_peer(origin, host, path).status_code == 200


@pytest.mark.parametrize("path", HASHES)
def test_a_stranger_reads_nothing(origin: Site, path: str) -> None:
    answer = Caller(origin, ELSEWHERE).ask("GET", path)

    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forged")


def test_entries_are_for_this_machine_alone(origin: Site, host: Site) -> None:
    answer = as_peer(origin, host, "/log/tile/entries/000.p/1")

    problem(answer, 403, "not-from-here")
    problem(as_peer(origin, host, "/facts/1/proof"), 403, "not-from-here")


def test_evidence_is_fetched_here_and_checked_anywhere(
    mine: Site, run: Run, tmp_path: Path
) -> None:
    mine.post("/members", person())
    note = mine.node.log.checkpoint().note
    said, _ = believed(note, known(mine))
    other = Checkpoint(said.origin, said.size, bytes(32)).signed(mine.node.keys)
    file = bytes(Evidence(note.decode(), bytes(other).decode()))
    mine.node.lanes.keep_contradiction(mine.code, "split-view", utc_now(), file)

    (told,) = mine.get("/log/contradictions")
    fetched = run("log", "evidence", told["id"], "--url", mine.url)
    (tmp_path / "evidence.json").write_text(fetched.out, encoding="utf-8")
    (tmp_path / "card").write_bytes(mine.node.card())
    (tmp_path / "other").write_text(card("lanzhou")[0], encoding="utf-8")

    assert (told["org"], told["kind"]) == (mine.code, "split-view")
    proven = run("log", "check", tmp_path / "evidence.json", tmp_path / "card")
    assert proven.code == 0
    assert f"split-view · {mine.code}" in proven.out
    assert run("log", "check", tmp_path / "evidence.json", tmp_path / "other").code == 1
    until(lambda: mine.node.witness.alarms()["ledger-contradiction"] == 1)
    assert mine.ask("/log/contradictions/999").status_code == 404


def test_anybody_may_bring_a_checkpoint_but_of_peers_only(mine: Site) -> None:
    mine.post("/members", person())
    until(lambda: newest(mine).size, 5.0)

    answer = httpx.post(
        f"{mine.url}/log/add-checkpoint", content=b"old 0\n\n" + mine.node.log.checkpoint().note
    )

    assert (answer.status_code, answer.text) == (404, "unknown log\n")
