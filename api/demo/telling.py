"""讲述: prints the story as it goes, and remembers every claim that did not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from api.client import NoAnswer, Refused

SETTLE_S = 60.0
"""How long the two sides may take to come to know the same."""

_POLL_S = 0.05


class Telling:
    """Writes for a person; each claim it prints has been checked."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.broken: list[str] = []
        self.checked = 0

    def chapter(self, title: str) -> None:
        """A heading."""
        self.console.rule(f"[bold]{title}", align="left")

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(text)

    def claim(self, text: str, holds: bool) -> None:  # noqa: FBT001 - reads as a sentence.
        """A sentence that was checked."""
        self.checked += 1
        self.console.print(f"{'[green]✓[/green]' if holds else '[red]✗[/red]'} {text}")
        if not holds:
            self.broken.append(text)

    def table(self, title: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
        """Rows, as people read them."""
        table = Table(title=title, title_justify="left")
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*("" if row.get(n) is None else str(row[n]) for n in columns))
        self.console.print(table)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Long work: a moving line while it lasts, and how long it took."""
        started = time.monotonic()
        with self.console.status(what):
            yield
        self.console.print(f"[dim]{what}：{time.monotonic() - started:.1f} 秒[/dim]")

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds; a claim that it came to."""
        deadline = time.monotonic() + SETTLE_S
        came = False
        with self.console.status(f"等待同步：{what}"):
            while not came and time.monotonic() < deadline:
                try:
                    came = holds()
                except (NoAnswer, Refused):
                    came = False  # Not there yet; the deadline decides.
                if not came:
                    time.sleep(_POLL_S)
        self.claim(what, came)
