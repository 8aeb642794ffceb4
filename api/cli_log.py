"""命令行·台账: evidence against a ledger fetched from the node, or checked without any node."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from api.client import Client
from domain.suite import SUITES
from domain.tree import SHA256, SM3
from sync.card import read_card
from sync.contradiction import Evidence
from sync.errors import LaneFault

log = typer.Typer(help="台账 the ledger as a log: evidence", no_args_is_help=True)

Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="证据文件 the evidence")]
Cards = Annotated[
    list[Path],
    typer.Argument(exists=True, dir_okay=False, help="对方名片 cards of whoever is accused"),
]


@log.command()
def evidence(
    number: Annotated[
        int | None, typer.Argument(help="编号；不填则列出全部 one, or list all")
    ] = None,
    url: Url = "http://127.0.0.1:8700",
) -> None:
    """证据: list contradictions kept, or write one to standard output."""
    with closing(Client(url)) as node:
        at = "/log/contradictions" if number is None else f"/log/contradictions/{number}"
        typer.echo(json.dumps(node.get(at), ensure_ascii=False, indent=1))


@log.command()
def check(file: File, cards: Cards) -> None:
    """核验证据: without a node or a network; exit code 1 if the file proves nothing."""
    try:
        shown = [read_card(card.read_bytes()) for card in cards]
        hashing = {SHA256.name: SHA256, SM3.name: SM3}[SUITES[shown[0].algorithms].hash]
        keys = [card.verify_key for card in shown]
        proven = Evidence.read(file.read_bytes()).proves(keys, hashing)
    except LaneFault as fault:
        typer.echo(str(fault), err=True)
        sys.exit(1)
    first, second = proven.sizes
    typer.echo(f"成立 proven: {proven.kind} · {proven.org} · {proven.origin} · {first} / {second}")
