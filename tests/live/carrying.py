"""搬运: a federation whose lanes run over a broker, and waiting for it with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pprint import pformat

from api.node import Node
from sync.kafka_settings import KafkaSettings
from sync.lane_kafka import KafkaLanes
from tests.support.federation import Federation

DEADLINE_S = 60.0
PAUSE_S = 0.01


class Carrying:
    """Kafka lanes for the nodes of a federation; `until` lets them work, for a minute at most."""

    def __init__(self, made: Federation, settings: KafkaSettings) -> None:
        self.made, self.settings = made, settings
        self.lanes: dict[str, KafkaLanes] = {}
        self.woken: list[str] = []

    def __getitem__(self, code: str) -> KafkaLanes:
        return self.lanes[code]

    def start(self, *codes: str, settings: KafkaSettings | None = None) -> None:
        for code in codes or self.made.nodes:
            node = self.made[code]
            self.lanes[code] = KafkaLanes(
                settings or self.settings, code, node.relay, node.inbox, clock=node.clock
            )
            node.inbox.when_recorded = lambda code=code: self.woken.append(code)
            self.lanes[code].start()

    def stop(self, *codes: str) -> None:
        for code in codes or [*self.lanes]:
            assert self.lanes.pop(code).stop(10.0), f"the threads of {code} did not end"

    def until(self, holds: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
        """Let every node do its own work until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.state()
            for code, node in self.made.nodes.items():
                node.settle()
                if code in self.lanes:
                    self.lanes[code].wake()
            time.sleep(PAUSE_S)

    def settle(self, seconds: float = DEADLINE_S) -> None:
        """Until everybody has recorded, and confirmed, all there is for him."""
        self.until(self.settled, seconds)

    def settled(self) -> bool:
        return all(
            arrived(node, self.made[peer])
            for node in self.made.nodes.values()
            for peer in node.relay.peers()
        )

    def state(self) -> str:
        """What to read when a test has failed."""
        return pformat({code: lanes.status() for code, lanes in self.lanes.items()})


def arrived(source: Node, destination: Node) -> bool:
    """Whether one has all that the other has for it, and the other knows."""
    head, acknowledged = source.relay.standing(destination.settings.code)
    busy = source.ledger.head != source.relay.looked_through
    recorded = destination.lanes.standing_in(source.settings.code).number
    return not busy and head.number == acknowledged.number == recorded


def same_bytes(source: Node, destination: Node) -> int:
    """How many entries both hold; they are compared byte by byte."""
    with source.database.connection() as conn:
        streams = conn.execute(
            "SELECT stream, max(version) FROM lane_out WHERE peer = %s GROUP BY stream",
            (destination.settings.code,),
        ).fetchall()
    for stream, version in streams:
        ours, theirs = source.ledger.stream(stream), destination.ledger.stream(stream)
        assert [bytes(e.state) for e in ours[:version]] == [bytes(e.state) for e in theirs]
        assert ours[:version] == theirs
    return sum(version for _, version in streams)


@contextmanager
def carrying(made: Federation, settings: KafkaSettings) -> Iterator[Carrying]:
    """Carry the lanes of a federation, and stop in the end."""
    carried = Carrying(made, settings)
    carried.start()
    try:
        yield carried
    finally:
        carried.stop()
