"""演示主线: start, tell, check, stay up; a second start goes on where the first one ended."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

from rich.console import Console

from api.demo.nodes import ALL, Nodes, erase
from api.demo.questions import Questions
from api.demo.story import Story
from api.demo.telling import Telling
from domain.errors import Refusal

TOLD = "told.json"
"""In the demonstration's folder: what the story was about, once it has been told to its end."""


def tell(home: Path, *, once: bool, fresh: bool, kafka: str | None) -> int:
    """Run the demonstration; 0 if every claim held and everything stopped cleanly."""
    console = Console()
    telling = Telling(console)
    # A service manager's signal ends it like Ctrl-C: the nodes are stopped in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if fresh:
        erase(home)
    home.mkdir(parents=True, exist_ok=True)
    nodes = Nodes(home, kafka)
    interrupted = False
    try:
        _run(nodes, telling, home, kafka)
        if not once and not telling.broken:
            _stay(console, nodes)
    except KeyboardInterrupt:
        interrupted = True
    except Refusal as refusal:
        telling.claim(str(refusal), holds=False)
    finally:
        console.print("正在停止三个节点 stopping …")
        clean = nodes.stop()
    telling.claim("三个节点都已正常停止 all three have stopped cleanly", clean)
    if telling.broken:
        console.print(f"[red]{len(telling.broken)} 处不符 claims did not hold[/red]")
    elif not interrupted:
        console.print(
            f"[green]{telling.checked} 处说法全部核对无误 every claim was checked[/green]"
        )
    return 1 if telling.broken else 0


def _run(nodes: Nodes, telling: Telling, home: Path, kafka: str | None) -> None:
    telling.chapter("0. 三个组织，各有节点 three organizations, a node each")
    lanes = f"Kafka {kafka}" if kafka else "HTTP"
    with telling.working(f"启动三个节点，经 {lanes} 同步 starting"):
        nodes.start()
    for code, fingerprint in nodes.acquaint().items():
        telling.say(f"  {code:10} {nodes.clients[code].url}  名片核对码 {fingerprint}")
    telling.table(
        "同步约定：谁可见什么、为何、至何时 what each lets the other open",
        nodes.pacts(),
        {
            "keeper": "保管方",
            "peer": "对方",
            "state": "状态",
            "classes": "可见类别",
            "purposes": "用途",
            "until": "至",
        },
    )
    path = home / TOLD
    if path.exists():
        telling.say("接着上次的数据 going on with the data of the last time")
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    else:
        told = Story(nodes, telling).tell()
        path.write_text(json.dumps(told), encoding="utf-8")
    Questions(nodes, telling, told).ask()


def _stay(console: Console, nodes: Nodes) -> None:
    console.rule("[bold]运行中 up", align="left")
    for organization in ALL:
        url = nodes.clients[organization.code].url
        console.print(f"  {organization.name}  {url}/docs")
    console.print(
        "人员接口暂只接受本机访问。The people's interface takes calls from this machine only."
    )
    console.print("按 Ctrl-C 停止 to stop", style="bold")
    threading.Event().wait()
