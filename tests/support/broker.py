"""A real Apache Kafka of one node on loopback, which can be killed, wiped and started again."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from string import Template
from typing import Self

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError

from tests.support.java import CONFIGURATION, java

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.1
LOG_TAIL_BYTES = 3000

# The shell ends the broker when its own standard input ends: with the test run, however that dies.
# As long as it waits, the process id belongs to nobody else.
KEEPER = """
exec 3<&0
"$@" >>"$0" 2>&1 3<&- &
broker=$!
echo $broker
(read word <&3; kill -${word:-KILL} $broker) &
watcher=$!
wait $broker
kill $watcher
"""


class NoBroker(RuntimeError):  # noqa: N818 - it names what is the case.
    """The broker did not do what it was asked; the end of its log follows."""


class Broker:
    """One Kafka broker and controller, with its files in `folder` and the same ports for life."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid: int | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._broker, self._controller = free_ports(2)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._broker}"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    def start(self) -> None:
        """Start the broker and return once it serves its metadata."""
        if self._keeper is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._format()
        self._launch()
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down in an orderly way, or by force if that takes too long."""
        self._end("TERM")

    def kill(self) -> None:
        """End the process as a power cut would: kill -9."""
        self._end("KILL")

    def restart(self) -> None:
        """Stop and start; after `kill` only start."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose everything: kill, delete all data, start empty under a new cluster id."""
        self.kill()
        shutil.rmtree(self._data)
        self.start()

    def create_topics(self, *names: str) -> None:
        """Create topics of one partition, and wait until they can be written."""
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.create_topics([NewTopic(name, 1, 1) for name in names], wait_for_metadata=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _configuration(self) -> str:
        template = Template((CONFIGURATION / "server.properties").read_text())
        return template.substitute(
            broker=self._broker, controller=self._controller, data=self._data.absolute()
        )

    def _format(self) -> None:
        self._properties.write_text(self._configuration())
        if (self._data / "meta.properties").exists():
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id(), "-c"]
        made = subprocess.run(
            [*java(), *tool, str(self._properties)], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise NoBroker(made.stdout + made.stderr)

    def _launch(self) -> None:
        command = [*java(), "kafka.Kafka", str(self._properties)]
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER, str(self.log.absolute()), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline())

    def _end(self, word: str) -> None:
        if self._keeper is None or self.pid is None:
            return
        try:
            self._keeper.communicate(f"{word}\n".encode(), timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            self._keeper.communicate()
        self._keeper = self.pid = None

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._keeper and self._keeper.poll() is None and time.monotonic() < deadline:
            if self._accepts() and self._serves():
                return
            time.sleep(POLL_S)
        tail = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        raise NoBroker(f"Kafka did not start on {self.bootstrap}:\n{tail}")

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._broker)) == 0

    def _serves(self) -> bool:
        """Tell whether the metadata names the broker: it does once the controller let it in."""
        try:
            with closing(
                KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
            ) as admin:
                return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False


def described(broker: Broker, topic: str) -> tuple[int, dict[str, str]]:
    """How many partitions a topic has, and all its settings."""
    asked = ConfigResource(ConfigResourceType.TOPIC, topic)
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        (found,) = admin.describe_topics([topic])
        configs = admin.describe_configs([asked], config_filter="all")
    (of_topics,) = configs.values()
    return len(found["partitions"]), {n: said["value"] for n, said in of_topics[topic].items()}


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody uses now; all are held until the last is chosen."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def cluster_id() -> str:
    """A cluster id as Kafka writes it: a UUID in 22 characters, none a leading hyphen."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Run a broker in a temporary folder, and leave neither behind."""
    with (
        tempfile.TemporaryDirectory(prefix="waystation-kafka-") as folder,
        Broker(Path(folder)) as broker,
    ):
        yield broker
