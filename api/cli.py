"""命令行: waystation, for whoever operates a node and whoever wants to see one."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from api.client import Client
from api.settings import FILE, NodeThere, Settings
from domain.errors import Refusal
from sync.envelope import read_card

app = typer.Typer(
    help="驿站 Waystation: 流动党员转接、联系、活动的台账与同步。",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
out = Console()
told = Console(stderr=True)
_open = ExitStack()
"""What is closed when the command is done."""

Home = Annotated[Path, typer.Option(help="节点的文件夹 the node's folder")]
Url = Annotated[str, typer.Option(envvar="WAYSTATION_URL", help="节点地址 the node's address")]

HOME = Path(".waystation/node")
URL = "http://127.0.0.1:8700"


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
    kafka: str | None = None,
) -> None:
    """建立节点: settings and keys in a folder; the database comes with the first start."""
    settings = Settings.of(
        {"code": code, "name": name, "kind": kind, "city": city, "port": port, "kafka": kafka}
    )
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
    wire = _node(url).card()
    # Not among the card's own bytes: `waystation card > ours.card` is what is sent.
    told.print(
        f"[dim]核对码 fingerprint[/dim] {read_card(wire.encode()).fingerprint}", style="bold"
    )
    sys.stdout.write(wire)


@app.command()
def enrol(
    file: Annotated[
        Path, typer.Argument(help="对方的名片文件 their card", exists=True, dir_okay=False)
    ],
    fingerprint: Annotated[str, typer.Argument(help="电话核对的 8 组字符")],
    url: Url = URL,
    grant: Annotated[list[str] | None, typer.Option(help="可见类别 classes they may open")] = None,
) -> None:
    """登记对方名片."""
    body = {
        "card": file.read_text(encoding="utf-8").strip(),
        "fingerprint": fingerprint,
        "grants": grant or ["identity", "contact"],
    }
    _show(_node(url).post("/peers", body))


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
def do(
    path: Annotated[str, typer.Argument(help="如 /outflows/…/offers，见 /docs")],
    body: Annotated[str, typer.Argument(help="JSON")] = "{}",
    url: Url = URL,
    key: Annotated[str | None, typer.Option(help="Idempotency-Key")] = None,
    person: str = "officer",
) -> None:
    """办理: any command, as the interface takes it."""
    try:
        said = json.loads(body)
    except ValueError as fault:
        raise typer.BadParameter(f"JSON: {fault}") from None
    _show(_node(url, person).post(path, said, key))


Question = Literal[
    "roster", "custody", "claims", "due", "activities", "history", "peers", "quarantine"
]
_PATHS = {
    "roster": "/outflows",
    "due": "/contacts/due",
    "custody": "/custody",
    "claims": "/claims",
    "activities": "/activities",
    "history": "/history",
    "peers": "/peers",
    "quarantine": "/quarantine",
}


@app.command()
def show(question: Question, url: Url = URL, limit: int = 50) -> None:
    """查看: roster, custody board, claims, contacts due, activities, history, peers, quarantine."""
    answer = _node(url).get(_PATHS[question], limit=limit)
    _show(answer["items"] if isinstance(answer, dict) else answer)


@app.command()
def who(
    outflow: str, on: str, known_at: Annotated[str | None, typer.Option()] = None, url: Url = URL
) -> None:
    """谁负责: who held affiliation and care of an absence on a day, as known at a moment."""
    _show(_node(url).get(f"/outflows/{outflow}/responsible", on=on, known_at=known_at))


@app.command()
def trail(member: str, field: str, url: Url = URL) -> None:
    """来历: every value a field of a person ever had, with file, sheet and row."""
    _show(_node(url).get(f"/members/{member}/trail/{field}"))


@app.command()
def rebuild(name: str, url: Url = URL) -> None:
    """重建读模型: beside the live one, which answers until the new one takes over."""
    answer = _node(url).post(f"/read-models/{name}/rebuild", {})
    _say(f"{name}: {'一致 equal' if answer['equal'] else '有差异 the rows have changed'}")


@app.command()
def retry(
    number: int,
    url: Url = URL,
    *,
    record: Annotated[bool, typer.Option(help="正式登记（默认只试）")] = False,
) -> None:
    """重试隔离的来件: a dry run, unless --record."""
    _show(_node(url).post(f"/quarantine/{number}/retry?dry_run={not record}", {}))


def _say(sentence: str) -> None:
    # Names and values are no markup, and a sentence is one line whoever reads it.
    out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _show(answer: Any) -> None:
    out.print_json(json.dumps(answer, ensure_ascii=False, default=str))


def _node(url: str, person: str = "officer") -> Client:
    return _open.enter_context(closing(Client(url, person)))


def main() -> None:
    """Run; a refusal is told in a sentence, not in a traceback."""
    try:
        with _open:
            app()
    except Refusal as refusal:
        told.print(str(refusal), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
