"""设置: what cannot work is refused before anything is started, with the setting's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from api.node import Node
from api.settings import DATABASE_URL, FILE, BadSetting, Settings
from api.storage.errors import DatabaseUnfit
from api.storage.server import EmbeddedServer
from domain.errors import Refusal
from sync.key_folder import KeyDamaged

KNOWN = {"code": "lanzhou", "name": "兰州市委组织部"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("code", ""),
        ("code", "Lanzhou"),
        ("code", "兰州"),
        ("code", "../lanzhou"),
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 501),
        ("kind", "ministry"),
        ("city", ""),
        ("city", 7),
        ("host", ""),
        ("host", "127.0.0.1 "),
        ("host", "http://127.0.0.1"),
        ("port", 0),
        ("port", 65_536),
        ("port", "八千"),
        ("access_days", 179),
        ("access_days", 36_501),
        ("searches_per_minute", 0),
        ("searches_per_minute", 10_001),
        ("poll_seconds", 0),
        ("poll_seconds", 56),
        ("advertise", "lanzhou.example"),
        ("advertise", "ftp://lanzhou.example"),
        ("advertise", "http://user:secret@lanzhou.example"),
        ("advertise", "http://lanzhou.example/node"),
        ("advertise", "http://lanzhou.example:99999"),
        ("advertise", "http://0.0.0.0:8700"),
        ("hots", "127.0.0.1"),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(
    tmp_path: Path, setting: str, value: object
) -> None:
    (tmp_path / FILE).write_text(json.dumps({**KNOWN, setting: value}))

    with pytest.raises(BadSetting) as refused:
        Node.open(tmp_path)

    assert refused.value.facts["setting"] == setting
    assert refused.value.facts["because"]
    assert {"rule", "known"} & refused.value.facts.keys()
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize(
    ("setting", "kafka"),
    [
        ("kafka", "127.0.0.1:9092"),
        ("kafka.servers", {}),
        ("kafka.servers.0", {"servers": ["broker"]}),
        ("kafka.servers.0", {"servers": ["kafka://broker:9092"]}),
        ("kafka.security", {"servers": ["b:9092"], "security": "TLS"}),
        ("kafka.topic", {"servers": ["b:9092"], "topic": "sync"}),
        ("kafka.retention_days", {"servers": ["b:9092"], "retention_days": 0}),
        ("kafka.replication_factor", {"servers": ["b:9092"], "replication_factor": 0}),
        ("kafka.bootstrap", {"servers": ["b:9092"], "bootstrap": "b:9092"}),
    ],
)
def test_a_kafka_setting_that_cannot_work_is_refused_with_its_name_and_rule(
    tmp_path: Path, setting: str, kafka: object
) -> None:
    (tmp_path / FILE).write_text(json.dumps({**KNOWN, "kafka": kafka}))

    with pytest.raises(BadSetting) as refused:
        Node.open(tmp_path)

    assert refused.value.facts["setting"] == setting
    assert {"rule", "known"} & refused.value.facts.keys()
    if setting == "kafka.bootstrap":
        assert "servers" in refused.value.facts["known"]


def test_a_setting_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps({**KNOWN, "port": 8700})
    (tmp_path / FILE).write_text(text[:-1] + ', "port": 9000}')

    with pytest.raises(BadSetting, match="duplicate key") as refused:
        Settings.load(tmp_path)

    assert refused.value.facts["setting"] == FILE
    assert "rule" in refused.value.facts


def test_a_file_that_an_editor_has_marked_as_utf8_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xef\xbb\xbf" + json.dumps(KNOWN).encode())

    assert Settings.load(tmp_path).code == "lanzhou"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:geheim@h/d", "postgresql://"),
        ("postgresql://u:geheim@127.0.0.1:1/d", "refused"),
        ("postgresql://u:geheim@127.0.0.1:1/d?colour=red", "colour"),
        ("postgresql://u:geheim@127.0.0.1:port/d", "port"),
    ],
)
def test_a_database_that_cannot_be_is_refused_with_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    (tmp_path / FILE).write_text(json.dumps(KNOWN))
    monkeypatch.setenv(DATABASE_URL, url)

    with pytest.raises(Refusal) as refused:
        Node.open(tmp_path)

    sentence = str(refused.value)
    assert DATABASE_URL in sentence
    assert told in sentence
    assert "geheim" not in sentence


def test_a_database_in_which_nothing_may_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: EmbeddedServer
) -> None:
    (tmp_path / FILE).write_text(json.dumps(KNOWN))
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS onlooker")
        conn.execute("CREATE ROLE onlooker LOGIN")
    try:
        given = {**conninfo_to_dict(postgres.url), "user": "onlooker"}
        host, name = quote(str(given["host"]), safe=""), given["dbname"]
        url = f"postgresql://onlooker@{host}/{name}?port={given.get('port', 5432)}"
        monkeypatch.setenv(DATABASE_URL, url)

        with pytest.raises(DatabaseUnfit, match="permission denied"):
            Node.open(tmp_path)
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as conn:
            conn.execute("DROP ROLE onlooker")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_node_on_all_interfaces_says_where_it_is_reached(host: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.of({**KNOWN, "host": host})
    assert refused.value.facts["setting"] == "advertise"

    told = Settings.of({**KNOWN, "host": host, "advertise": "https://lanzhou.example"})
    assert told.address == "https://lanzhou.example"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"code":"lanzhou"}'])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(BadSetting) as refused:
        Settings.load(tmp_path)

    assert refused.value.facts["setting"] in {FILE, "name"}


def in_the_way(tmp_path: Path, what: str) -> Path:
    """A home in which a node could keep nothing."""
    home = tmp_path / "home"
    if what == "a file":
        home.write_text("x")
        return home / "node"
    home.mkdir()
    (home / FILE).write_text(json.dumps(KNOWN))
    if what == "a file for keys":
        (home / "keys").write_text("x")
    else:
        (home / FILE).unlink()
        (home / FILE).mkdir()
    return home


@pytest.mark.parametrize("what", ["a file", "a file for keys", "a folder for settings"])
def test_a_home_that_cannot_be_used_is_refused(tmp_path: Path, what: str) -> None:
    home = in_the_way(tmp_path, what)

    def used() -> Any:
        return Node.open(home) if (home / FILE).exists() else Settings.of(KNOWN).save(home)

    with pytest.raises(BadSetting) as refused:
        used()

    assert refused.value.facts["setting"] == "--home"


def test_keys_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    Settings.of(KNOWN).save(tmp_path)
    (tmp_path / "keys" / "master.key").mkdir()

    with pytest.raises(KeyDamaged) as refused:
        Node.open(tmp_path)

    assert "master.key" in refused.value.facts["file"]
