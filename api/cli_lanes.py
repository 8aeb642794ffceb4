"""命令行·通道: peers with their lanes, the quarantine, and where a fact is."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console

from api.client import Client, place

URL = "http://127.0.0.1:8700"
Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]
Peer = Annotated[str, typer.Argument(help="对方组织代码 the peer's code")]

peers = typer.Typer(help="同步情况: every peer with both directions of its lane.")
quarantine = typer.Typer(help="隔离区: what peers sent and was set aside.")


@peers.command(name="list")
def list_peers(url: Url = URL) -> None:
    """各通道: heads, what is acknowledged, what was refused, when both were last in step."""
    _show(_get(url, "/peers"))


@peers.command(name="retry")
def retry_peer(peer: Peer, url: Url = URL) -> None:
    """立即重试: a lane that waits after failures is tried at once."""
    _show(_post(url, place("peers", peer, "retry")))


@peers.command()
def refused(
    peer: Peer,
    url: Url = URL,
    *,
    resolved: Annotated[bool, typer.Option(help="含已解决的 also what is resolved")] = False,
) -> None:
    """对方未收: our facts that a peer has set aside, why, and what to do."""
    _show(_get(url, place("peers", peer, "refused"), resolved=resolved))


@peers.command()
def recompute(
    peer: Peer,
    url: Url = URL,
    version: Annotated[int | None, typer.Option(help="第几份 which one, not the newest")] = None,
) -> None:
    """重算证明: a kept certificate held against the facts as they were at its cut."""
    answer = _get(url, place("peers", peer, "agreement", "recomputed"), version=version)
    _show(answer)
    raise typer.Exit(0 if answer["equal"] else 1)


@quarantine.command(name="list")
def list_quarantine(
    url: Url = URL,
    peer: Annotated[str | None, typer.Option(help="只看一方 of one peer")] = None,
    cursor: Annotated[int, typer.Option(help="从此编号之后 after this number")] = 0,
    limit: Annotated[int, typer.Option(help="最多几行 rows at most")] = 100,
) -> None:
    """隔离区: reason, mend and evidence of each."""
    _show(_get(url, "/quarantine", peer=peer, cursor=cursor, limit=limit))


@quarantine.command()
def show(number: int, url: Url = URL) -> None:
    """一条: and which members, rows, figures and obligations are stale because of it."""
    _show(_get(url, f"/quarantine/{number}"))


@quarantine.command()
def retry(
    number: Annotated[
        int | None, typer.Argument(help="编号 its id; without it, all of --peer")
    ] = None,
    url: Url = URL,
    peer: Annotated[str | None, typer.Option(help="该方全部 all of this peer's")] = None,
    count: Annotated[int | None, typer.Option(help="试读所示条数 the count shown")] = None,
    *,
    apply: Annotated[bool, typer.Option(help="正式登记（默认只试读）")] = False,
) -> None:
    """重试: a dry run that shows what would change, unless --apply; all need the --count shown."""
    if (number is None) == (peer is None):
        raise typer.BadParameter("编号或 --peer，二者取一。Either a number or --peer.")
    if peer is None:
        _show(_post(url, f"/quarantine/{number}/retry", dry_run=not apply))
    else:
        _show(_post(url, "/quarantine/retry", peer=peer, dry_run=not apply, count=count))


def where(
    fact: Annotated[str, typer.Argument(help="STREAM/VERSION，或回单的 position")],
    url: Url = URL,
) -> None:
    """在哪里: one fact hop by hop, here and at the peers that sent or hold it."""
    _show(_get(url, place("facts", *fact.split("/"), "where")))


def lagging(stale: dict[str, Any] | None) -> str | None:
    """That a list may lack something, or be wrong about it, and where to look."""
    stopped, held = (stale or {}).get("stopped_streams"), (stale or {}).get("read_model")
    if held:
        return f"读模型已停，所列可能陈旧 the read model has stopped: {held['because']}"
    if stopped:
        return (
            f"有 {stopped} 条记录在隔离区，所列可能陈旧：waystation quarantine list。"
            f"{stopped} streams are quarantined: what is listed may lag behind."
        )
    return None


def _get(url: str, path: str, **query: Any) -> Any:
    with closing(Client(url)) as node:
        return node.get(path, **query)


def _post(url: str, path: str, **query: Any) -> Any:
    with closing(Client(url)) as node:
        return node.post(path, {}, **query)


def _show(answer: Any) -> None:
    Console().print_json(json.dumps(answer, ensure_ascii=False, default=str))
