"""部署: the files of deploy/ on the real broker, and every command of the guide to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kafka import KafkaProducer
from kafka.errors import TopicAuthorizationFailedError

from domain.commands import OfferCare
from sync.kafka_access import options
from sync.kafka_settings import COMMON, PRODUCER, KafkaSettings
from tests.live.carrying import Carrying, same_bytes
from tests.support.broker import Broker, described, free_ports
from tests.support.federation import CHENGDU, ORIGIN, Federation, accept, depart, register
from tests.support.java import java
from tests.support.postgres import Database
from tests.support.strangers import lacking_kcat

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = ROOT / "docs" / "guides" / "kafka.md"
TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
}


class Deployed(Broker):
    """A broker as deploy/ describes it, with ports and folders of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self._clients,) = free_ports(1)
        self.secrets = folder / "secrets"
        self._tools = folder / "bin"
        self._tools.mkdir()
        for name, main in TOOLS.items():
            command = " ".join(f"'{word}'" for word in [*java(), main])
            (self._tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (self._tools / name).chmod(0o755)

    def settings(self, org: str) -> KafkaSettings:
        """Those of the node's file, at this machine's address."""
        said = json.loads((DEPLOY / "nodes" / f"{org}.json").read_text())["kafka"]
        files = {
            name: self.secrets / Path(said[name]).name for name in ("ca_file", "certificate_file")
        }
        here = {"servers": [f"127.0.0.1:{self._clients}"], **files}
        return KafkaSettings.model_validate(said | here)

    def run(self, *command: str) -> str:
        """A command of the operator's, with Kafka's tools at hand."""
        env = os.environ | {"PATH": f"{self._tools}:{os.environ['PATH']}", "BROKER": self.bootstrap}
        done = subprocess.run(
            command, env=env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _configuration(self) -> str:
        text = (DEPLOY / "kafka" / "server.properties").read_text()
        for written, here in {
            "CLIENTS://:9094": f"CLIENTS://127.0.0.1:{self._clients}",
            "CLIENTS://kafka:9094": f"CLIENTS://127.0.0.1:{self._clients}",
            "127.0.0.1:9092": f"127.0.0.1:{self._broker}",
            "127.0.0.1:9093": f"127.0.0.1:{self._controller}",
            "/run/secrets": str(self.secrets),
            "/var/lib/kafka/data": str(self._data),
        }.items():
            assert written in text
            text = text.replace(written, here)
        return text


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with TemporaryDirectory(prefix="waystation-kafka-") as folder:
        broker = Deployed(Path(folder))
        script = str(DEPLOY / "certificates.sh")
        broker.run("sh", script, str(broker.secrets), "IP:127.0.0.1", ORIGIN, CHENGDU)
        with broker:
            for _ in range(2):  # The second time it changes nothing.
                setup = str(DEPLOY / "kafka" / "setup.sh")
                broker.run("sh", setup, broker.bootstrap, f"{ORIGIN}:{CHENGDU}")
            yield broker


def test_two_nodes_of_the_compose_file_exchange_over_its_broker(
    database: Database, deployed: Deployed
) -> None:
    with ExitStack() as stack:
        made = Federation(database.url, database.schema, stack)
        origin, host = made.found(ORIGIN), made.found(CHENGDU, "station")
        made.acquaint(ORIGIN, CHENGDU)
        carried = Carrying(made, deployed.settings(ORIGIN))
        stack.callback(carried.stop)
        carried.start(ORIGIN)
        carried.start(CHENGDU, settings=deployed.settings(CHENGDU))

        outflow = depart(origin, register(origin))
        origin.service.execute(OfferCare(outflow=outflow, host=CHENGDU))
        carried.settle()
        accept(host, outflow)
        carried.settle()

        assert same_bytes(origin, host) > 0
        assert same_bytes(host, origin) > 0


def test_the_operators_topics_are_made_as_a_node_would_make_them(deployed: Deployed) -> None:
    partitions, configs = described(deployed, f"sync.{CHENGDU}.{ORIGIN}")

    wanted = deployed.settings(ORIGIN).topic_options()
    assert partitions == wanted["num_partitions"]
    assert wanted["configs"].items() <= configs.items()


def test_kcat_with_a_certificate_reads_its_owners_topics_alone(deployed: Deployed) -> None:
    if lacking := lacking_kcat():
        pytest.skip(lacking)
    settings, own = deployed.settings(CHENGDU), f"sync.{CHENGDU}.{ORIGIN}"
    with closing(KafkaProducer(bootstrap_servers=deployed.bootstrap)) as operator:
        operator.send(own, b"for Chengdu", partition=0).get(timeout=10)
    command = ["kcat", "-C", "-q", "-e", "-o", "beginning", "-b", settings.servers[0]]
    for name, value in {
        "security.protocol": "ssl",
        "ssl.ca.location": settings.ca_file,
        "ssl.certificate.location": settings.certificate_file,
        "ssl.key.location": settings.certificate_file,
    }.items():
        command += ["-X", f"{name}={value}"]

    read = deployed.run(*command, "-t", own)
    denied = subprocess.run(
        [*command, "-t", f"sync.{ORIGIN}.{CHENGDU}"], capture_output=True, text=True, check=False
    )

    assert "for Chengdu" in read
    assert denied.returncode != 0
    assert "authorization failed" in denied.stderr
    assert denied.stdout == ""


def test_a_node_of_the_compose_file_writes_to_no_other_lane(deployed: Deployed) -> None:
    settings = deployed.settings(CHENGDU)
    given = {**COMMON, **PRODUCER, **options(settings)}
    with (
        closing(KafkaProducer(bootstrap_servers=settings.servers, **given)) as producer,
        pytest.raises(TopicAuthorizationFailedError),
    ):
        producer.send(f"sync.{CHENGDU}.{ORIGIN}", b"rubbish", partition=0).get(timeout=10)


def commands() -> list[str]:
    """Every command of Kafka's in the guide, its lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    lines = re.sub(r"\\\n\s*", "", "\n".join(blocks)).splitlines()
    return [line for line in lines if line.startswith("kafka-")]


def test_every_command_of_the_guide_works_as_it_stands(deployed: Deployed) -> None:
    used = {line.split()[0] for line in commands()}
    assert used == set(TOOLS)

    said = {line: deployed.run("sh", "-c", line) for line in commands()}

    rights = next(text for line, text in said.items() if "--list" in line)
    assert "operation=WRITE" in rights
    assert "operation=READ" in rights
