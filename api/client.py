"""客户端: speaks to a running node over HTTP, for the command line and the story."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from domain.errors import Refusal

TIMEOUT_S = 120.0
"""For an import; a command takes milliseconds."""


class Refused(Refusal):
    """节点拒绝了请求。The node refused the request."""

    def __str__(self) -> str:
        problem = self.facts["problem"]
        rest = {k: v for k, v in problem.items() if k not in {"type", "title", "instance"}}
        return f"{problem.get('title', '')} {rest.pop('mend', '')} {rest}"


class NoAnswer(Refusal):
    """节点没有应答。The node does not answer."""

    kind = "busy"
    mend = "请确认节点已启动：waystation serve。Is the node running? waystation serve"


class Client:
    """One node's interface."""

    def __init__(self, url: str, person: str = "officer") -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            trust_env=False,
            headers={"Waystation-Person": quote(person)},
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """What a path answers."""
        params = {k: v for k, v in query.items() if v is not None}
        return self._answer("GET", path, params=params).json()

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
        """A command's receipt."""
        headers = {"Idempotency-Key": quote(key, safe="/")} if key else {}
        answered = self._answer("POST", path, json=body, headers=headers)
        receipt: dict[str, Any] = answered.json()
        return receipt

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every row of a paged list."""
        cursor: Any = None
        while True:
            page = self.get(path, cursor=cursor, limit=500, **query)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def card(self) -> str:
        """The node's signed card."""
        return self._answer("GET", "/card").text

    def import_file(self, kind: str, path: Path, *, dry_run: bool) -> dict[str, Any]:
        """Import a workbook."""
        query = {"name": path.name, "dry_run": dry_run}
        answered = self._answer("POST", f"/imports/{kind}", params=query, content=path.read_bytes())
        report: dict[str, Any] = answered.json()
        return report

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answered = self._http.request(method, path, **request)
        except (httpx.TransportError, httpx.InvalidURL) as fault:
            raise NoAnswer(url=self.url, because=str(fault)) from None
        if not answered.is_error:
            return answered
        try:
            problem = answered.json()
        except ValueError:
            raise NoAnswer(url=self.url, because=f"HTTP {answered.status_code}") from None
        raise Refused(problem=problem)
