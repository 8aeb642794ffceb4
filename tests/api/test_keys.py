"""密钥: what officers see and do about keys, their own and those of peers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app as command_line
from api.node import Node
from api.settings import Settings
from api.storage.database import Database
from api.storage.server import EmbeddedServer
from domain.values import utc_now
from sync.card import make_card, read_card
from sync.key_folder import KeyFolder, KeyMissing
from sync.keys import NodeKeys
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, cared_for, meet, offered, until
from tests.api.test_problems import problem
from tests.support.postgres import Database as Schema
from tests.sync.pen import Pen

WHY = {"reason": "密钥所在的电脑被盗", "second_person": "李"}


@pytest.fixture
def pair(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """Two organizations of one test's own, acquainted."""
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host)
        yield origin, host


@pytest.mark.slow
def test_a_node_that_does_not_start_for_want_of_a_key_lets_go_of_its_ledger(
    database: Schema, tmp_path: Path
) -> None:
    settings = Settings.model_validate({"code": "jiuquan", "name": "酒泉"})
    right, wrong = (KeyFolder.load(tmp_path / name) for name in ("right", "wrong"))

    with closing(Database(database.url, database.schema)) as opened:

        def node(folder: KeyFolder) -> Node:
            return Node(settings, opened, folder.keys, folder=folder)

        with node(right) as first:
            first.key_change.announce()
        with pytest.raises(KeyMissing):
            node(wrong)

        # Whoever writes next would be refused as the second, had it not.
        with node(right) as again:
            assert again.keys.verify_key == first.keys.verify_key


def fingerprint(site: Site) -> str:
    return str(site.get("/keys")["fingerprint"])


def known(site: Site) -> str:
    (peer,) = site.get("/peers")
    return str(peer["fingerprint"])


@pytest.mark.slow
def test_a_rotation_reaches_the_peer_while_facts_pass(pair: tuple[Site, Site]) -> None:
    origin, host = pair
    before = origin.get("/keys")

    origin.post("/keys/rotate")
    outflow = offered(origin, host)
    until(lambda: known(host) == fingerprint(origin) != before["fingerprint"])
    until(lambda: origin.get("/keys")["waiting_for"] == [])
    assert origin.node.key_change.retire()
    host.post("/keys/rotate")
    until(lambda: known(origin) == fingerprint(host))
    until(lambda: host.get("/keys")["waiting_for"] == [])
    assert host.node.key_change.retire()

    assert origin.get("/keys")["signs_beside"] == host.get("/keys")["signs_beside"] == []
    accepted = {"branch": "第一党支部", "liaison": "李干事", "accepted_on": "2025-03-10"}
    host.post(f"/inflows/{outflow}/offers/1/accepted", accepted)
    until(lambda: host.get(f"/outflows/{outflow}")["carer"] == host.code)
    assert host.get("/quarantine") == origin.get("/quarantine") == []
    assert origin.get("/keys")["number"] == 2


@pytest.mark.slow
def test_a_revoked_key_is_refused_and_its_message_kept(pair: tuple[Site, Site]) -> None:
    origin, host = pair
    thief = NodeKeys(origin.node.keys.signers[0], b"m" * 32, b"b" * 32)
    origin.post("/keys/revoke", WHY, waystation_person="王")
    until(lambda: known(host) == fingerprint(origin))

    pen = Pen(origin.node, host.node)
    pen.send(pen.activity(), keys=thief)

    (kept,) = host.get("/quarantine")
    assert kept["reason"] == "key-over"
    shown = host.get(f"/quarantine/{kept['id']}/evidence")
    assert base64.b64decode(shown["wire"]).startswith(b"waystation/batch/v1 jiuquan ")
    assert shown["signed_by"]["succeeded"] == "revoked"
    (gone,) = host.get(f"/peers/{origin.code}/keys")["former"]
    assert gone == shown["signed_by"]


def test_a_change_of_keys_is_no_repetition(own: Site) -> None:
    for number in (2, 3):
        own.post("/keys/revoke", WHY, idempotency_key="twice")
        assert own.get("/keys")["number"] == number


def test_one_person_alone_revokes_nothing(own: Site) -> None:
    answer = own.send("/keys/revoke", {**WHY, "second_person": "王"}, waystation_person="王")

    problem(answer, 422, "second-person-needed")
    assert own.get("/keys")["number"] == 1


@pytest.mark.slow
def test_a_lost_key_is_replaced_by_telephone(pair: tuple[Site, Site]) -> None:
    origin, host = pair
    cared_for(origin, host)
    origin.node.key_change.replace(*lost())
    until(
        lambda: (
            "Forged" in str(host.get("/peers")[0]["lane"]["last_error"])
            or "签名不符" in str(host.get("/peers")[0]["lane"]["last_error"])
        )
    )
    card, compared = origin.card()

    host.post("/peers/rekey", {"card": card, "fingerprint": compared, **WHY})

    until(lambda: host.get("/peers")[0]["lane"]["last_error"] is None)
    assert known(host) == compared
    assert host.get(f"/peers/{origin.code}/keys")["former"][0]["succeeded"] == "compared"
    offered(origin, host)


def lost() -> tuple[object, str, str]:
    from api.service import Who  # noqa: PLC0415

    return Who(person="王"), "硬盘损坏", "李"


@pytest.mark.parametrize("number", [0, 999_999])
def test_evidence_that_is_not_there_is_not_found(own: Site, number: int) -> None:
    problem(own.ask(f"/quarantine/{number}/evidence"), 404, "not-found")


def test_the_keys_of_a_stranger_are_not_known(own: Site) -> None:
    problem(own.ask("/peers/lanzhou/keys"), 409, "peer-unknown")


# The command line.


def test_keys_are_shown_and_rotated_on_the_line(own: Site, run: Run) -> None:
    first = run("keys", "--url", own.url)
    assert fingerprint(own) in first.out

    run("keys", "rotate", "--url", own.url)

    assert own.get("/keys")["number"] == 2


def test_a_revocation_says_why_and_who(own: Site, run: Run) -> None:
    said = run("keys", "revoke", "--url", own.url, "--because", "被盗", "--second", "李")
    assert said.code == 0

    assert own.get("/keys")["number"] == 2
    refused = CliRunner().invoke(command_line, ["keys", "revoke", "--url", own.url])
    assert refused.exit_code == 2
    assert "--because" in refused.output


def test_a_new_card_is_taken_on_the_line(own: Site, run: Run, tmp_path: Path) -> None:
    cards = {}
    for name in ("old", "new"):
        made = make_card(NodeKeys.generate(), "lanzhou", "兰州", "http://x.example", utc_now())
        (tmp_path / name).write_bytes(made)
        cards[name] = read_card(made).fingerprint
    run("enrol", tmp_path / "old", cards["old"], "--url", own.url)
    why = ("--because", "硬盘损坏", "--second", "李", "--url", own.url)

    differs = run("rekey", tmp_path / "new", cards["old"], *why)
    assert "核对码不一致" in differs.sentence
    assert run("rekey", tmp_path / "new", cards["new"].upper(), *why).code == 0

    assert known(own) == cards["new"]


@pytest.mark.slow
def test_a_lost_key_is_replaced_with_the_node_stopped(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "node"
    run("init", "lanzhou", "兰州市委组织部", "--home", home)
    first = run("keys", "replace", "--home", home, "--because", "遗失", "--second", "李")
    assert '"number": 2' in first.out
    for file in (home / "keys").glob("*.pair"):
        file.unlink()

    again = run("keys", "replace", "--home", home, "--because", "遗失", "--second", "李")

    assert '"number": 3' in again.out
