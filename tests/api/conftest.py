"""Two nodes that know each other, shared by the tests of a worker; each test brings its people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import pytest
import typer.main

from api import cli
from api.storage.server import EmbeddedServer
from tests.api.support import Site, meet, site

_schemas = count(1)

get_command = cache(typer.main.get_command)

HOST = {"code": "chengdu", "name": "酒泉市驻成都联络服务站", "kind": "station", "city": "成都"}


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a refusal is told in."""
        assert self.code == 1, self.out + self.err
        (line,) = self.err.strip().splitlines()
        assert "Traceback" not in line
        return line


Run = Callable[..., Said]


@contextmanager
def fresh(postgres: EmbeddedServer, **settings: Any) -> Iterator[Site]:
    with site(postgres.url, f"api_{next(_schemas)}", **settings) as made:
        yield made


@pytest.fixture(scope="package")
def origin(postgres: EmbeddedServer) -> Iterator[Site]:
    """The origin's node."""
    with fresh(postgres) as made:
        yield made


@pytest.fixture(scope="package")
def host(postgres: EmbeddedServer, origin: Site) -> Iterator[Site]:
    """A station's node, enrolled at the origin, as the origin is at it."""
    with fresh(postgres, **HOST) as made:
        meet(origin, made)
        yield made


@pytest.fixture
def own(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node of one test's own."""
    with fresh(postgres) as made:
        yield made


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`waystation` in this process, which reads its commands from their functions once."""
    monkeypatch.setattr("typer.main.get_command", get_command)

    def waystation(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["waystation", *map(str, words)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        told = capsys.readouterr()
        return Said(code if isinstance(code, int) else 0, told.out, told.err)

    return waystation
