"""命令行·查询: the read models, as people look at them every day."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from api.cli_access import Person, Purpose
from api.cli_lanes import URL, Url, lagging
from api.client import Client

_Board = Literal["roster", "custody", "alarms", "claims", "due", "transfers", "members"]
Question = Literal[_Board, "activities", "history", "peers", "quarantine"]
_PATHS = {
    "roster": "/outflows",
    "due": "/contacts/due",
    "custody": "/custody",
    "alarms": "/alarms",
    "claims": "/claims",
    "transfers": "/transfers",
    "members": "/members",
    "activities": "/activities",
    "history": "/history",
    "peers": "/peers",
    "quarantine": "/quarantine",
}


def show(
    question: Question,
    url: Url = URL,
    limit: int = 50,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """查看: roster, custody board, alarms, claims, contacts due, and whatever else is listed."""
    answer = _ask(url, person, purpose, _PATHS[question], limit=limit)
    paged = isinstance(answer, dict)
    _show(answer["items"] if paged else answer)
    if paged and (said := lagging(answer.get("stale"))):
        told = Console(stderr=True)
        told.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)


def find(
    phone: Annotated[str | None, typer.Option(help="电话，现用或曾用 now or earlier")] = None,
    number: Annotated[str | None, typer.Option(help="公民身份号码 the id number")] = None,
    url: Url = URL,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """检索: who has a telephone or an id number; recorded, and limited."""
    if (phone is None) == (number is None):
        raise typer.BadParameter("--phone 或 --number，写其一。Give one of them.")
    asked = ("/phones/find", {"phone": phone}) if phone else ("/members/find", {"number": number})
    with closing(Client(url, person, purpose)) as node:
        _show(node.post(*asked))


def _ask(url: str, person: str, purpose: str | None, path: str, **query: Any) -> Any:
    with closing(Client(url, person, purpose)) as node:
        return node.get(path, **query)


def _show(answer: Any) -> None:
    Console().print_json(json.dumps(answer, ensure_ascii=False, default=str))
