"""补发: after a long outage a lane resumes by itself, with flat memory, and disturbs no other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from api.node import Node
from api.settings import Settings
from api.storage.database import Database
from api.storage.server import EmbeddedServer
from domain.commands import RecordContact, ShareOutflow
from domain.recording import Write
from sync.card import read_card
from sync.key_folder import KeyFolder
from tests.api.support import Site, free_port, person, until
from tests.support.federation import CHENGDU, EVERYTHING, ORIGIN, SHENZHEN, depart, register

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WAITING = 50_000
SENDER_MB = 300
LAG_S = 2.0
CATCH_UP_S = 420.0


@dataclass
class Place:
    """Three organizations' databases and keys, and the processes that serve them."""

    url: str
    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def settings(self, code: str) -> dict[str, Any]:
        return {"code": code, "name": code, "port": self.ports[code], "poll_seconds": 5.0}

    def schema(self, code: str) -> str:
        return f"catch_up_{code}"

    @contextmanager
    def node(self, code: str) -> Iterator[Node]:
        """In this process."""
        self.ports.setdefault(code, free_port())
        database = Database(self.url, self.schema(code))
        keys = KeyFolder.load(self.folder / code).keys
        with Node(Settings.model_validate(self.settings(code)), database, keys) as node:
            yield node
        database.close()

    @contextmanager
    def served(self, code: str) -> Iterator[subprocess.Popen[bytes]]:
        """In a process of its own, as in production."""
        told = {
            "url": self.url,
            "schema": self.schema(code),
            "keys": str(self.folder / code),
            "settings": self.settings(code),
        }
        words = [sys.executable, "-m", "bench.serve", json.dumps(told)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()

    def one(self, code: str, query: str, *values: object) -> Any:
        options = f"-csearch_path={self.schema(code)}"
        with psycopg.connect(self.url, autocommit=True, options=options) as conn:
            row = conn.execute(query, values).fetchone()
        return row[0] if row else 0

    def taken(self) -> int:
        return int(self.one(CHENGDU, "SELECT number FROM lane_in WHERE peer = %s", ORIGIN))

    def head(self) -> int:
        return int(
            self.one(ORIGIN, "SELECT max(number) FROM lane_out WHERE peer = %s", CHENGDU) or 0
        )


def memory_mb(process: subprocess.Popen[bytes], what: str = "VmHWM") -> float:
    """The most a process has had in memory, or has now (VmRSS)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(what))
    return int(line.split()[1]) / 1024


def fill(place: Place) -> None:
    """Acquaint three, then record what Chengdu has not heard: contacts, in a single statement."""
    with ExitStack() as stack:
        nodes = {
            code: stack.enter_context(place.node(code)) for code in (ORIGIN, CHENGDU, SHENZHEN)
        }
        origin = nodes[ORIGIN]
        for code in (CHENGDU, SHENZHEN):
            origin.enrol(read_card(nodes[code].card()), EVERYTHING)
            nodes[code].enrol(read_card(origin.card()), EVERYTHING)
        outflow = depart(origin, register(origin))
        origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
        call = {"outflow": outflow, "on": "2025-05-01", "method": "电话", "by": "李干事"}
        made = origin.execute(RecordContact(**call))
        (record,) = origin.ledger.stream(made.id)
        said = json.loads(record.state)
        said["meta"]["audience"] = [CHENGDU]
        state = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        written = Write(
            tuple(StoredEvent(uuid4(), 1, "contact.made", state) for _ in range(WAITING))
        )
        origin.recorder.submit(written)
        written.done.result()


class Other:
    """The lane to Shenzhen, whose latency is watched."""

    def __init__(self, place: Place, host: Site) -> None:
        self._url = f"http://127.0.0.1:{place.ports[ORIGIN]}"
        self._host = host
        self.lags: list[float] = []

    def probe(self) -> None:
        """Share an absence with Shenzhen; seconds from the answer until it is recorded there."""
        with httpx.Client(base_url=self._url, trust_env=False, timeout=30) as client:
            member = client.post("/members", json=person()).json()["id"]
            left = {"member": member, "left_on": "2025-03-01", "destination": "广东省深圳市"}
            outflow = client.post("/outflows", json=left).json()["id"]
            shared = {"to": SHENZHEN, "purpose": "联合管理"}
            answer = client.post(f"/outflows/{outflow}/share", json=shared)
            assert answer.status_code == 201, answer.text
        began = time.monotonic()
        until(lambda: self._host.ask(f"/outflows/{outflow}").status_code == 200, 60)
        self.lags.append(time.monotonic() - began)


def test_a_lane_catches_up_through_a_kill_with_flat_memory_and_disturbs_no_other(
    postgres: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(postgres.url, tmp_path)
    fill(place)
    with ExitStack() as stack:
        sender = stack.enter_context(place.served(ORIGIN))
        # The outage: all is numbered while Chengdu is away.
        until(lambda: place.head() >= WAITING, CATCH_UP_S)
        head, before = place.head(), memory_mb(sender, "VmRSS")
        host = Site(stack.enter_context(place.node(SHENZHEN)))
        stack.callback(host.http.close)
        host.start()
        stack.callback(host.stop)
        other, began = Other(place, host), time.monotonic()
        other.probe()
        other.lags.clear()

        with place.served(CHENGDU) as receiver:
            while place.taken() < WAITING // 2:
                other.probe()
                assert time.monotonic() < began + CATCH_UP_S
            receiver.kill()
            receiver.wait(10)
        at_kill = place.taken()
        with place.served(CHENGDU):
            # No new traffic for Chengdu: it goes on by itself, from where it was.
            while place.taken() < head:
                other.probe()
                assert time.monotonic() < began + CATCH_UP_S
            seconds = time.monotonic() - began
            until(
                lambda: (
                    place.one(ORIGIN, "SELECT number FROM lane_receipt WHERE peer = %s", CHENGDU)
                    >= head
                ),
                30,
            )
            until(
                lambda: place.one(
                    ORIGIN, "SELECT count(*) FROM lane_step WHERE peer = %s", CHENGDU
                ),
                30,
            )

        lags = sorted(other.lags)
        slowest, most = lags[int(len(lags) * 0.99)], memory_mb(sender)
        with capsys.disabled():
            sys.stdout.write(
                f"\ncatch-up: {head} facts in {seconds:.1f} s (killed at {at_kill}); sender"
                f" {before:.0f} MB before, {most:.0f} MB at most; other lane p50"
                f" {lags[len(lags) // 2] * 1000:.0f} ms, p99 {slowest * 1000:.0f} ms,"
                f" {len(lags)} samples\n"
            )
        assert place.one(CHENGDU, "SELECT count(*) FROM quarantine") == 0
        assert place.one(CHENGDU, "SELECT count(*) FROM stored_events") >= head
        assert WAITING // 2 <= at_kill < head
        assert most <= SENDER_MB
        assert slowest <= LAG_S
