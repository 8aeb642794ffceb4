"""命令行·密钥: keys shown, rotated, revoked and replaced, and a peer's new card taken."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from api.client import Client
from api.service import Who

Action = Literal["show", "rotate", "revoke", "replace", "reindex"]

Because = Annotated[str, typer.Option(help="原因 why")]
Second = Annotated[str, typer.Option(help="复核人 the second person who says so")]
Person = Annotated[str, typer.Option(help="经办人 the officer")]
Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]

out = Console()


def keys(  # noqa: PLR0913, PLR0917 - what a change of keys must say.
    action: Annotated[
        Action, typer.Argument(help="查看 · 更换 · 吊销 · 补发 · 重建电话索引")
    ] = "show",
    because: Because = "",
    second: Second = "",
    person: Person = "officer",
    url: Url = "http://127.0.0.1:8700",
    home: Annotated[Path, typer.Option(help="补发、重建时：节点的文件夹，节点须已停止")] = Path(
        ".waystation/node"
    ),
) -> None:
    """密钥: show, rotate, revoke (it may be stolen), replace (lost), reindex (search.key)."""
    if action in {"revoke", "replace"} and not (because.strip() and second.strip()):
        raise typer.BadParameter(
            "须写明原因和复核人。Say why, and who else says so: --because --second"
        )
    if action == "replace":
        _show(_replace(home.resolve(), person, because, second))
        return
    if action == "reindex":
        _show(_reindex(home.resolve()))
        return
    with closing(Client(url, person)) as node:
        if action == "show":
            _show(node.get("/keys"))
        elif action == "rotate":
            _show(node.post("/keys/rotate", {}))
        else:
            _show(node.post("/keys/revoke", {"reason": because, "second_person": second}))


def rekey(  # noqa: PLR0913, PLR0917 - what two officers say about a card.
    file: Annotated[
        Path, typer.Argument(help="对方的新名片文件 their new card", exists=True, dir_okay=False)
    ],
    fingerprint: Annotated[str, typer.Argument(help="电话核对的 8 组字符")],
    because: Because,
    second: Second,
    person: Person = "officer",
    url: Url = "http://127.0.0.1:8700",
) -> None:
    """重新登记对方名片: their old key is lost or stolen, and is believed nothing more."""
    body = {
        "card": file.read_bytes().decode("utf-8", "replace"),
        "fingerprint": fingerprint,
        "reason": because,
        "second_person": second,
    }
    with closing(Client(url, person)) as node:
        _show(node.post("/peers/rekey", body))


def _replace(home: Path, person: str, because: str, second: str) -> dict[str, object]:
    from api.node import Node  # noqa: PLC0415 - heavy, and needed here alone.

    with Node.open(home, replacing=True) as node:
        who = Who(person=person)
        node.key_change.replace(who, because, second)
        node.settle()
        return node.key_change.shown()


def _reindex(home: Path) -> dict[str, int]:
    from api.node import Node  # noqa: PLC0415 - heavy, and needed here alone.
    from projections import phones  # noqa: PLC0415

    with Node.open(home, reindexing=True) as node:
        # The node serves nobody meanwhile; after a crash it starts for nothing but this.
        node.keyring.search_by(node.key_change.renew_search())
        node.projector.rebuild(phones.Phones.name)
        return {"telephones": int(node.database.rows(phones.COUNT, {})[0]["n"])}


def _show(answer: object) -> None:
    out.print_json(json.dumps(answer, ensure_ascii=False, default=str))
