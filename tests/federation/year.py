"""一年: an origin and five stations, its ledger and a year of theirs, brought in by import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from api.excel.reading import read_contacts, read_outflows, read_party_days
from api.imports import Importer, Report, quiet
from api.node import Node
from api.settings import Settings
from api.storage.database import Database
from domain.commands import AcceptInflow, OfferCare
from domain.outflow import Outflow
from sync.keys import NodeKeys
from tests.federation.shared import CONTACTS, FOLDER, LEDGER, PARTY_DAYS, TODAY
from tests.support.federation import EVERYTHING, HOST_MAY_OPEN, ORIGIN, Federation, read_card

STATIONS = {
    "chengdu": "成都",
    "shenzhen": "深圳",
    "beijing": "北京",
    "shanghai": "上海",
    "xian": "西安",
}


class Six(Federation):
    """The origin and its five stations, named as the ledger names them."""

    def found_all(self) -> None:
        self._found(ORIGIN, "酒泉市委组织部", "department", None)
        for code, city in STATIONS.items():
            self._found(code, f"酒泉市驻{city}联络服务站", "station", city)
            self.nodes[ORIGIN].enrol(read_card(self.nodes[code].card()), HOST_MAY_OPEN)
            self.nodes[code].enrol(read_card(self.nodes[ORIGIN].card()), EVERYTHING)

    def _found(self, code: str, name: str, kind: str, city: str | None) -> None:
        said = {"code": code, "name": name, "kind": kind, "city": city}
        database = Database(self._url, f"{self._schema}_{code}")
        self._stack.callback(database.close)
        settings = Settings.model_validate(said)
        node = Node(settings, database, NodeKeys.generate(), self.clock)
        self._stack.callback(node.close)
        self.nodes[code] = node


@dataclass
class Year:
    """What was brought in, and how long it took."""

    six: Six
    ledger: Report
    contacts: dict[str, Report] = field(default_factory=dict)
    marks: dict[str, Report] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def origin(self) -> Node:
        return self.six[ORIGIN]

    def heads(self) -> dict[str, int]:
        return {code: node.ledger.head for code, node in self.six.nodes.items()}

    def rows(self, code: str, query: str, **values: Any) -> list[dict[str, Any]]:
        return self.six[code].database.rows(query, {"limit": 10_000, "after": None, **values})


# Every station is handed the same sheets: they are read once.
_outflows, _contacts, _marks = map(lru_cache, (read_outflows, read_contacts, read_party_days))


def import_ledger(node: Node) -> Report:
    return asyncio.run(importer(node).outflows(_outflows(FOLDER / LEDGER, today=TODAY)))


def import_contacts(node: Node) -> Report:
    return asyncio.run(importer(node).contacts(_contacts(FOLDER / CONTACTS, today=TODAY)))


def import_marks(node: Node) -> Report:
    return asyncio.run(importer(node).party_days(_marks(FOLDER / PARTY_DAYS, today=TODAY)))


def importer(node: Node) -> Importer:
    return Importer(node, "王干事", dry_run=False, progress=quiet)


def hand_over(year: Year) -> None:
    """Offer every absence to the station its row names, and let the stations accept.

    Accepted on the day of departure: the first contacts of the year follow within days.
    """
    stations = {node.settings.name: code for code, node in year.six.nodes.items()}
    named = {
        f"{row.source.sheet}/{row.source.row}": stations[row.value.station or ""]
        for row in _outflows(FOLDER / LEDGER, today=TODAY).accepted
    }
    outflows = {year.ledger.ids[place]: code for place, code in named.items()}
    for outflow, code in outflows.items():
        year.origin.service.execute(OfferCare(outflow=outflow, host=code))
    year.six.settle()
    for outflow, code in outflows.items():
        left_on = year.six[code].ledger.look_up(Outflow, outflow).left_on
        accepted = AcceptInflow(
            outflow=outflow,
            offer=1,
            branch=f"{STATIONS[code]}流动党员党支部",
            liaison="骆干事",
            accepted_on=left_on,
        )
        year.six[code].service.execute(accepted)
    year.six.settle()


@contextmanager
def a_year(url: str, schema: str) -> Iterator[Year]:
    """The whole year, settled."""
    with ExitStack() as stack:
        six = Six(url, schema, stack)
        clock = time.perf_counter
        started = clock()
        six.found_all()
        year = Year(six, Report("", ""))
        year.seconds["six nodes founded"], started = clock() - started, clock()
        year.ledger = import_ledger(year.origin)
        year.seconds["ledger imported"], started = clock() - started, clock()
        hand_over(year)
        year.seconds["offered, accepted, confirmed"], started = clock() - started, clock()
        for code in STATIONS:
            year.contacts[code] = import_contacts(six[code])
        year.seconds["contacts imported"], started = clock() - started, clock()
        for code in STATIONS:
            year.marks[code] = import_marks(six[code])
        year.seconds["marks imported"], started = clock() - started, clock()
        six.settle()
        year.seconds["settled"] = clock() - started
        yield year
