"""命令行: waystation, for whoever operates a node and whoever wants to see one."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from api import (
    cli_access,
    cli_audit,
    cli_bundle,
    cli_erasure,
    cli_evidence,
    cli_fence,
    cli_keys,
    cli_lanes,
    cli_log,
    cli_pacts,
    cli_paper,
    cli_show,
    cli_verify,
)
from api.agreement.telling import show_certificate, show_differences
from api.cli_access import Person, Purpose
from api.cli_lanes import URL, Url
from api.client import Client, place
from api.files import must_be_writable_file, write
from api.partner.command import check_peer
from api.settings import FILE, NodeThere, Settings, suite_here
from domain import suite
from domain.errors import Refusal
from sync.card import read_card

app = typer.Typer(
    help="驿站 Waystation: 流动党员转接、联系、活动的台账与同步。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_access.app, name="access")
app.add_typer(cli_bundle.app, name="bundle")
app.command()(cli_access.who_saw)
app.add_typer(cli_audit.app, name="audit")
app.add_typer(cli_erasure.app, name="erasure")
app.add_typer(cli_evidence.app, name="evidence")
app.command()(cli_lanes.where)
app.add_typer(cli_lanes.peers, name="peers")
app.add_typer(cli_lanes.quarantine, name="quarantine")
app.add_typer(cli_fence.fence, name="fence")
app.add_typer(cli_log.log, name="log")
app.add_typer(cli_pacts.app, name="pact")
out = Console()
told = Console(stderr=True)
_open = ExitStack()
"""What is closed when the command is done."""

Home = Annotated[Path, typer.Option(help="节点的文件夹 the node's folder")]

HOME = Path(".waystation/node")


@app.command()
def demo(
    home: Home = Path(".waystation/demo"),
    *,
    once: Annotated[bool, typer.Option(help="讲完即停 tell the story, check it, stop")] = False,
    fresh: Annotated[bool, typer.Option(help="从头开始 start over")] = False,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT，经 Kafka 同步")] = None,
) -> None:
    """演示: an origin and two stations, a year of their work, and what both can show."""
    from api.demo.main import tell  # noqa: PLC0415 - other commands need none of it.

    raise typer.Exit(tell(home.resolve(), once=once, fresh=fresh, kafka=kafka))


@app.command()
def init(  # noqa: PLR0913, PLR0917 - a node's settings are its arguments.
    code: Annotated[str, typer.Argument(help="组织代码，如 jiuquan")],
    name: Annotated[str, typer.Argument(help="组织名称")],
    home: Home = HOME,
    kind: str = "department",
    city: str | None = None,
    port: int = 8700,
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT[,HOST:PORT…]")] = None,
) -> None:
    """建立节点: settings and keys in a folder; the database comes with the first start."""
    said = {"code": code, "name": name, "kind": kind, "city": city, "port": port}
    settings = Settings.of(said | ({"kafka": {"servers": kafka.split(",")}} if kafka else {}))
    if (home / FILE).exists():
        raise NodeThere(home=str(home))
    settings.save(home)
    _say(f"已建立 {settings.name}（{home}）。启动：waystation serve --home {home}")


@app.command()
def serve(
    home: Home = HOME,
    *,
    while_stdin: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """启动节点: until Ctrl-C; people's interface on this machine only."""
    from api.node import Node  # noqa: PLC0415 - heavy, and needed here alone.
    from api.serving import NodeServer  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with Node.open(home.resolve()) as node:
        address = node.settings.address
        server = NodeServer(node, lambda: _say(f"{node.settings.name} {address}/docs"))
        if while_stdin:
            threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
        server.run()


def _end_with_stdin(server: Any) -> None:
    # Whoever started this node holds the other end: when it is gone, by whatever death, so are we.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.end()


@app.command()
def card(url: Url = URL) -> None:
    """导出名片: this node's signed card, and the fingerprint to compare by telephone."""
    wire, fingerprint = _node(url).card()
    # Not among the card's own bytes: `waystation card > ours.card` is what is sent.
    told.print(f"[dim]核对码 fingerprint[/dim] {fingerprint}", style="bold")
    sys.stdout.write(wire)


@app.command()
def enrol(  # noqa: PLR0913 - a card, and what is agreed.
    file: Annotated[
        Path, typer.Argument(help="对方的名片文件 their card", exists=True, dir_okay=False)
    ],
    fingerprint: Annotated[str, typer.Argument(help="电话核对的 8 组字符")],
    url: Url = URL,
    grant: Annotated[list[str] | None, typer.Option(help="同时订立同步约定：可见类别")] = None,
    until: Annotated[str | None, typer.Option(help="约定止期；默认按 pact_days")] = None,
    *,
    by_file: Annotated[bool, typer.Option(help="只以数据包文件同步 no network path")] = False,
) -> None:
    """登记对方名片: with --grant, what they may open is agreed in the same act, and shown."""
    shown = file.read_bytes()
    body = {
        "card": shown.decode("utf-8", "replace"),
        "fingerprint": fingerprint,
        "grants": grant or [],
        "until": until,
        "lane": "bundle" if by_file else None,
    }
    node = _node(url)
    _show(node.post("/peers", body))
    code = read_card(shown.strip()).sender
    (ours,) = (pact["ours"] for pact in node.get("/pacts") if pact["peer"] == code)
    told.print(f"同步约定 pact: {ours['says']}", markup=False, highlight=False)


app.command()(cli_keys.keys)
app.command()(cli_keys.rekey)
app.command("check-peer")(check_peer)
app.command()(cli_paper.letter)
app.command()(cli_paper.scan)
app.command()(cli_verify.passport)
app.command()(cli_verify.verify)
app.command()(cli_verify.inspect)
app.command("export-ledger")(cli_verify.export_ledger)


@app.command(name="import")
def import_(
    kind: Annotated[str, typer.Argument(help="outflows | contacts | party-days")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    url: Url = URL,
    *,
    record: Annotated[bool, typer.Option(help="正式登记（默认只试读）")] = False,
) -> None:
    """导入表格: a dry run, unless --record; every refused row with sheet, row, column and rule."""
    report = _node(url).import_file(kind, file, dry_run=not record)
    show_report(out, report)
    raise typer.Exit(1 if report["refused"] else 0)


def show_report(console: Console, report: dict[str, Any]) -> None:
    """The rows of an import, as people read them."""
    table = Table("表", "行", "列", "规则", "说明", title=f"未登记 refused · {report['file']}")
    for fault in report["refused"]:
        row = (fault["sheet"], str(fault["row"]), fault["column"], fault["rule"], fault["message"])
        table.add_row(*row)
    if report["refused"]:
        console.print(table)
    console.print(
        f"登记 {report['recorded']} 条，已有 {report['repeated']} 条，"
        f"未登记 {len(report['refused'])} 条，非本站 {report['not_ours']} 条，"
        f"提示 {len(report['warnings'])} 条"
        + ("（试读，未写入 dry run）" if report["dry_run"] else ""),
        soft_wrap=True,
    )


@app.command(name="do")
def do(  # noqa: PLR0913, PLR0917 - what a request is made of.
    path: Annotated[str, typer.Argument(help="如 /outflows/…/offers，见 /docs")],
    body: Annotated[str, typer.Argument(help="JSON")] = "{}",
    url: Url = URL,
    key: Annotated[str | None, typer.Option(help="Idempotency-Key")] = None,
    person: Person = "officer",
    purpose: Purpose = None,
) -> None:
    """办理: any command, as the interface takes it."""
    try:
        said = json.loads(body)
    except ValueError as fault:
        raise typer.BadParameter(f"JSON: {fault}") from None
    _show(_node(url, person, purpose).post(path, said, key))


app.command()(cli_show.show)
app.command()(cli_show.find)


@app.command()
def rebuild(name: str, url: Url = URL) -> None:
    """重建读模型: beside the live one, which answers until the new one takes over."""
    answer = _node(url).post(place("read-models", name, "rebuild"), {})
    _say(f"{name}: {'一致 equal' if answer['equal'] else '有差异 the rows have changed'}")


@app.command()
def reconcile(  # noqa: PLR0913 - with who asks.
    peer: Annotated[str, typer.Argument(help="对方的组织代码 their code")],
    url: Url = URL,
    person: Person = "officer",
    purpose: Purpose = None,
    *,
    dry_run: Annotated[bool, typer.Option(help="只比较 compare, change nothing")] = False,
    file: Annotated[Path | None, typer.Option("--out", help="证明存为文件")] = None,
) -> None:
    """对账: what differs from a peer and why, mended where it can be; equal, a certificate."""
    if file is not None:
        must_be_writable_file(file, "--out")
    client = _node(url, person, purpose)
    report = client.post(place("peers", peer, "reconcile"), {}, dry_run=dry_run)
    show_differences(out, report)
    if file is not None and report["equal"] and not dry_run:
        paper = json.dumps(client.get(place("peers", peer, "agreement")), indent=2)
        write(file, "--out", f"{paper}\n".encode())
    raise typer.Exit(0 if report["equal"] else 1)


@app.command()
def certificate(
    file: Annotated[Path, typer.Argument(help="证明文件", exists=True, dir_okay=False)],
    cards: Annotated[list[Path], typer.Argument(help="双方名片", exists=True, dir_okay=False)],
) -> None:
    """验证一致证明: with the two cards and nothing else, no node and no network."""
    from api.agreement.kept import check_file  # noqa: PLC0415 - heavy, and needed here alone.

    show_certificate(out, check_file(file, cards))


def _say(sentence: str) -> None:
    # Names and values are no markup, and a sentence is one line whoever reads it.
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _show(answer: Any) -> None:
    out.print_json(json.dumps(answer, ensure_ascii=False, default=str))


def _node(url: str, person: str | None = None, purpose: str | None = None) -> Client:
    return _open.enter_context(closing(Client(url, person, purpose)))


def main() -> None:
    """Run; a refusal is told in a sentence, not in a traceback."""
    try:
        suite.choose(suite_here())
        with _open:
            app()
    except Refusal as refusal:
        told.print(str(refusal), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
