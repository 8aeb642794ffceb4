"""部署: what can be known of deploy/ without Docker, which the tests do not have."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from api.settings import DATABASE_URL, Settings
from api.storage.programs import Programs
from api.storage.server import EmbeddedServer
from sync.kafka_access import PASSWORD

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
NODES = {path.stem: path for path in (DEPLOY / "nodes").glob("*.json")}
COPIED = re.findall(r"^COPY (\S+) \S+$", DOCKERFILE, re.MULTILINE)
VENV = Path(sys.executable).parent


def check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(VENV / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_compose_file_is_one_by_the_schema_of_the_specification(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(COMPOSE | {"services": {"kafka": {"memory": "1g"}}}))

    assert check(DEPLOY / "compose.yaml").returncode == 0
    assert "memory" in check(wrong).stdout


def test_every_image_is_pinned_and_the_broker_is_the_one_of_the_tests() -> None:
    images = {service["image"] for service in SERVICES.values()}
    images |= set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    tested = re.search(r"<kafka.version>(.*)</", (ROOT / "tests/support/kafka/pom.xml").read_text())

    assert [image for image in images if not re.search(r":\d+\.\d+", image)] == []
    assert tested
    assert f"apache/kafka:{tested[1]}" in images


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_says_how_it_is(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"\d+m", service["mem_limit"])
    assert "healthcheck" in service or service["restart"] == "no"


def test_every_variable_of_the_compose_file_is_in_the_example_and_the_other_way_round() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    example = (DEPLOY / ".env.example").read_text()
    told = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, re.MULTILINE))

    assert set(told) == used
    assert set(told.values()) == {""}, "no value of an example is ever taken for a secret"


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    }

    assert mounted
    assert [path for path in mounted if not (DEPLOY / path).is_file()] == []


@pytest.mark.parametrize("code", NODES)
def test_a_nodes_settings_are_settings_and_name_the_secrets_it_is_given(code: str) -> None:
    service = SERVICES[code]

    settings = Settings.model_validate_json(NODES[code].read_bytes())

    assert settings.code == code
    assert settings.kafka is not None
    files = {settings.kafka.ca_file, settings.kafka.certificate_file}
    assert {str(file) for file in files} == {f"/run/secrets/{name}" for name in service["secrets"]}
    assert set(service["environment"]) <= {DATABASE_URL, PASSWORD}
    assert f"./nodes/{code}.json:/data/node.json:ro" in service["volumes"]


def test_the_broker_listens_where_the_nodes_look_for_it_with_the_secrets_it_is_given() -> None:
    text = (DEPLOY / "kafka" / "server.properties").read_text()
    properties = dict(re.findall(r"^([a-z.]+)=(.*)$", text, re.MULTILINE))
    names = {Settings.model_validate_json(p.read_bytes()).kafka for p in NODES.values()}
    servers = {server for kafka in names if kafka for server in kafka.servers}

    assert {f"CLIENTS://{server}" for server in servers} <= set(
        properties["advertised.listeners"].split(",")
    )
    for name in ("ssl.keystore.location", "ssl.truststore.location"):
        assert Path(properties[name]).name in SERVICES["kafka"]["secrets"]
    # Whoever reaches these may do everything.
    for listener in properties["listeners"].split(","):
        assert listener.startswith("CLIENTS://") or "://127.0.0.1:" in listener


@pytest.mark.slow
def test_every_node_gets_a_database_of_its_own(postgres: EmbeddedServer) -> None:
    known = conninfo_to_dict(postgres.url)
    passwords = {f"{code.upper()}_PASSWORD": f"it's {code}" for code in NODES}
    reach = {"PGHOST": str(known["host"]), "PGPORT": str(known.get("port", 5432))}
    path = f"{Programs().folder}:{os.environ['PATH']}"
    script = DEPLOY / "postgres" / "databases.sh"

    subprocess.run(["sh", str(script)], env={"PATH": path, **reach, **passwords}, check=True)

    with psycopg.connect(postgres.url, autocommit=True) as conn:
        owners = conn.execute("SELECT datname, pg_get_userbyid(datdba) FROM pg_database").fetchall()
        assert {(code, code) for code in NODES} <= set(owners)
        for code in NODES:
            conn.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(code)))
            conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(code)))


def test_every_script_may_be_run() -> None:
    scripts = [DEPLOY / name for name in ("certificates.sh", "kafka/setup.sh")]
    # The image of PostgreSQL would read one that is not executable into its own shell.
    scripts.append(DEPLOY / "postgres" / "databases.sh")

    assert [script for script in scripts if not os.access(script, os.X_OK)] == []


def test_no_key_and_no_password_is_part_of_the_repository() -> None:
    ignored = [".env", "secrets/ca.key", "secrets/jiuquan.pem"]

    for name in ignored:
        told = subprocess.run(
            ["git", "check-ignore", "-q", str(DEPLOY / name)], cwd=ROOT, check=False
        )
        assert told.returncode == 0, name


def test_the_image_copies_what_is_there_and_installs_by_digest_alone() -> None:
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()

    assert [path for path in COPIED if not (ROOT / path).exists()] == []
    assert {f"!{path}" for path in COPIED} == {line for line in allowed if line.startswith("!")}
    for command in re.findall(r"pip install (.*)", DOCKERFILE):
        assert "--require-hashes -r requirements.txt" in command or "--no-deps" in command


@pytest.mark.slow
def test_what_the_image_copies_is_enough_to_build_and_run_the_package(tmp_path: Path) -> None:
    for path in COPIED:
        source, target = ROOT / path, tmp_path / "context" / path
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    flags = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    there = str(tmp_path / "installed")

    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            *flags,
            "--target",
            there,
            str(tmp_path / "context"),
        ],
        check=True,
        cwd=tmp_path,
    )
    told = subprocess.run(
        [sys.executable, "-c", "import api.cli; print(api.cli.__file__); api.cli.main()", "--help"],
        env=os.environ | {"PYTHONPATH": there},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.startswith(there)
    assert "serve" in told.stdout
