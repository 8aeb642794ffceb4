"""客户端: speaks to a running node over HTTP, for the command line and the story."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from domain.errors import Refusal
from sync.signed_http import authorities

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


def place(*parts: str) -> str:
    """A path of the interface; what somebody typed as a part of it stays one part."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Client:
    """One node's interface."""

    def __init__(self, url: str, person: str | None = None, purpose: str | None = None) -> None:
        self.url = url
        # Said once for a whole session, where a command does not say it.
        person = person or os.environ.get("WAYSTATION_PERSON") or "officer"
        purpose = purpose or os.environ.get("WAYSTATION_PURPOSE")
        headers = {"Waystation-Person": quote(person)}
        if purpose:
            headers["Waystation-Purpose"] = quote(purpose)
        self._http = httpx.Client(
            base_url=url,
            timeout=TIMEOUT_S,
            verify=authorities(),
            trust_env=False,
            headers=headers,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, path: str, *, purpose: str | None = None, **query: Any) -> Any:
        """What a path answers; `purpose` is what this one question is asked for."""
        params = {k: v for k, v in query.items() if v is not None}
        headers = {"Waystation-Purpose": purpose} if purpose else {}
        return self._answer("GET", path, params=params, headers=headers).json()

    def post(
        self, path: str, body: dict[str, Any], key: str | None = None, **query: Any
    ) -> dict[str, Any]:
        """A command's receipt."""
        headers = {"Idempotency-Key": quote(key, safe="/")} if key else {}
        params = {k: v for k, v in query.items() if v is not None}
        answered = self._answer("POST", path, json=body, headers=headers, params=params)
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

    def card(self) -> tuple[str, str]:
        """The node's signed card, and its fingerprint by the suite of that node."""
        answer = self._answer("GET", "/card")
        return answer.text, answer.headers["Waystation-Fingerprint"]

    def letter(self, transfer: str) -> str:
        """The page of a letter, to be printed."""
        return self._answer("GET", place("transfers", transfer, "letter")).text

    def passport(self, of: str, id_: str, **query: Any) -> bytes:
        """The passport of one of the `outflows` or `members`."""
        params = {"with" if k == "peers" else k: v for k, v in query.items() if v is not None}
        return self._answer("GET", place(of, id_, "passport"), params=params).content

    def evidence(self, **query: Any) -> bytes:
        """Evidence of what bears some marks."""
        params = {k: v for k, v in query.items() if v is not None}
        return self._answer("GET", "/history/evidence", params=params).content

    def report(self, evidence: bytes) -> bytes:
        """The page of an evidence file, to be printed."""
        return self._answer("POST", "/history/report", content=evidence).content

    def ledger(self, out: BinaryIO) -> int:
        """The whole ledger into a file; how many bytes."""
        written = 0
        try:
            with self._http.stream("GET", "/ledger/export") as answer:
                if answer.is_error:
                    answer.read()
                    raise Refused(problem=answer.json())
                for piece in answer.iter_bytes():
                    written += out.write(piece)
        except (httpx.TransportError, httpx.InvalidURL) as fault:
            raise NoAnswer(url=self.url, because=str(fault)) from None
        return written

    def import_file(self, kind: str, path: Path, *, dry_run: bool) -> dict[str, Any]:
        """Import a workbook."""
        query = {"name": path.name, "dry_run": dry_run}
        answered = self._answer(
            "POST", place("imports", kind), params=query, content=path.read_bytes()
        )
        report: dict[str, Any] = answered.json()
        return report

    def export_bundle(
        self, peer: str, *, again: bool = False, go_on: bool = False
    ) -> tuple[dict[str, Any], bytes | None]:
        """What the next bundle holds, and its bytes; none where nothing is new."""
        query = {"again": again, "go_on": go_on}
        answered = self._answer("POST", place("bundles", peer), params=query)
        said: dict[str, Any] = json.loads(answered.headers["Waystation-Bundle"])
        return said, answered.content or None

    def import_bundle(self, wire: bytes) -> dict[str, Any]:
        """Import a bundle."""
        report: dict[str, Any] = self._answer("POST", "/bundles", content=wire).json()
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
