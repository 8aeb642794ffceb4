"""Kafka 门禁: what cannot work at a broker is named before it is tried, and tells no secret."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from domain.values import utc_now
from sync.kafka_access import PASSWORD, Unusable, options, suspect
from sync.kafka_settings import KafkaSettings
from tests.support.certificates import Authority

SASL = {"security": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "username": "jiuquan"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


def told(**more: Any) -> KafkaSettings:
    return KafkaSettings(servers=("kafka.example:9094",), **more)


def refused(**more: Any) -> Unusable:
    with pytest.raises(Unusable) as caught:
        options(told(**more))
    return caught.value


# Values.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("servers", ()),
        ("servers", ("kafka.example",)),
        ("servers", ("kafka.example:0",)),
        ("servers", ("kafka.example:65536",)),
        ("servers", ("a:1,b:2",)),
        ("servers", ("kafka.example:9094",) * 17),
        ("security", "TLS"),
        ("sasl_mechanism", "GSSAPI"),
        ("replication_factor", 0),
        ("replication_factor", -2),
        ("retention_days", 0),
        ("retention_days", 367),
        ("topic", "sync.{source}"),
        ("topic", "sync.{destination}.{who}"),
        ("topic", "sync.{destination}.{}"),
        ("topic", "sync {destination}"),
        ("topic", "同步.{destination}"),
        ("topic", "x" * 240 + ".{destination}"),
        ("topic", "{destination"),
        ("username", ""),
        ("colour", "red"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(field: str, value: object) -> None:
    said = {"servers": ("kafka.example:9094",), field: value}

    with pytest.raises(ValidationError) as caught:
        KafkaSettings.model_validate(said)

    assert caught.value.errors()[0]["loc"][0] == field


def test_topics_are_made_as_the_settings_say() -> None:
    made = told(replication_factor=3, retention_days=2).topic_options()

    assert (made["num_partitions"], made["replication_factor"]) == (1, 3)
    assert made["configs"]["retention.ms"] == str(2 * 24 * 3600 * 1000)
    assert made["configs"]["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in told().topic_options()["configs"]
    assert told(replication_factor=1).topic_options()["configs"]["min.insync.replicas"] == "1"


# What does not go together.


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        ({"ca_file": "ca.pem"}, "ca_file"),
        ({"certificate_file": "ours.pem"}, "certificate_file"),
        ({"security": "SSL", "key_file": "ours.key"}, "key_file"),
        ({"security": "SSL", "sasl_mechanism": "PLAIN"}, "sasl_mechanism"),
        ({"security": "SSL", "username": "jiuquan"}, "username"),
        ({"security": "SSL", "password_file": "password"}, "password_file"),
        ({"security": "SASL_SSL", "username": "jiuquan"}, "sasl_mechanism"),
        ({"security": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "username"),
        (SASL | {"security": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}, "security"),
        (SASL, "password_file"),
    ],
)
def test_what_does_not_go_together_is_named(
    said: dict[str, Any], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)

    assert refused(**said).setting == f"kafka.{setting}"


# Files.


def test_a_password_comes_from_a_file_or_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    monkeypatch.setenv(PASSWORD, "from outside")

    with_file = told(**SASL, password_file=file)

    assert options(with_file)["sasl_plain_password"] == "from a file"
    assert options(told(**SASL))["sasl_plain_password"] == "from outside"
    assert "from a file" not in repr(with_file)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_password_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)

    assert refused(**SASL, password_file=file).setting == "kafka.password_file"


@pytest.mark.parametrize("name", ["ca_file", "certificate_file", "password_file"])
def test_a_file_that_is_not_there_is_named_with_its_path(tmp_path: Path, name: str) -> None:
    missing = tmp_path / "missing"
    said = SASL if name == "password_file" else {"security": "SSL"}

    fault = refused(**said, **{name: missing})

    assert fault.setting == f"kafka.{name}"
    assert str(missing) in fault.because


@pytest.mark.parametrize("name", ["ca_file", "certificate_file"])
def test_a_file_that_holds_no_certificate_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.pem"
    file.write_text("hello")

    assert refused(security="SSL", **{name: file}).setting == f"kafka.{name}"


def test_a_certificate_and_its_key_may_be_one_file_or_two(authority: Authority) -> None:
    one = authority.issue("jiuquan")
    secret, rest = one.read_text().split("-----BEGIN CERTIFICATE-----")
    key, certificate = one.with_suffix(".key"), one.with_suffix(".crt")
    key.write_text(secret)
    certificate.write_text(f"-----BEGIN CERTIFICATE-----{rest}")

    for files in (
        {"certificate_file": one},
        {"certificate_file": certificate, "key_file": key},
    ):
        made = options(told(security="SSL", ca_file=authority.ca, **files))["ssl_context"]
        assert made.verify_mode == ssl.CERT_REQUIRED
        assert made.check_hostname
        assert made.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_key_of_another_certificate_is_named(authority: Authority) -> None:
    ours, other = authority.issue("jiuquan"), authority.issue("chengdu")

    fault = refused(security="SSL", certificate_file=ours, key_file=other)

    assert fault.setting == "kafka.key_file"


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    ours = authority.issue("jiuquan")
    key = load_pem_private_key(ours.read_bytes(), None)
    locked = ours.with_suffix(".key")
    sealed = BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))

    fault = refused(security="SSL", certificate_file=ours, key_file=locked)

    assert fault.setting == "kafka.key_file"


def test_paths_may_be_relative_to_the_folder_of_the_node(tmp_path: Path) -> None:
    within = told(security="SSL", ca_file="ca.pem", key_file="/etc/ours.key").within(tmp_path)

    assert within.ca_file == tmp_path / "ca.pem"
    assert within.key_file == Path("/etc/ours.key")


# Where the broker hangs up without a word.


@pytest.mark.parametrize(
    ("days", "said"),
    [(-2, "kafka.certificate_file: 证书已于"), (30, "kafka.certificate_file: 对方")],
)
def test_a_certificate_is_suspected_by_its_date(authority: Authority, days: int, said: str) -> None:
    settings = told(security="SSL", certificate_file=authority.issue("jiuquan", days))

    assert suspect(settings, "socket disconnected", utc_now()).startswith(said)


@pytest.mark.parametrize(
    ("more", "reason", "setting"),
    [
        (SASL, "socket disconnected", "username"),
        (SASL, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "ca_file"),
        ({}, "Unable to bootstrap", "security"),
    ],
)
def test_which_setting_to_look_at_is_guessed_from_what_is_known(
    more: dict[str, Any], reason: str, setting: str
) -> None:
    assert suspect(told(**more), reason, utc_now()).startswith(f"kafka.{setting}: ")
