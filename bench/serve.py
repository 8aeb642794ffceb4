"""服务进程: one node of the town, in a process of its own as in production, with no-ops beside."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import warnings
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, Response
from pydantic import Field

import sync.relay
from api.node import Node
from api.routes import questions
from api.routes.commands import BATCH_MAX
from api.serving import NodeServer
from api.settings import Settings
from api.storage.database import Database
from domain.commands import RecordContact
from domain.ledger import Receipt
from sync.envelope import BATCH_BYTES
from sync.inbox import Inbox, Outcome
from sync.key_folder import KeyFolder

POLL_S = 1.0
"""How long such a poll waits for news; short, so that a server that stops is not held up."""

ANSWER = b"x" * 1300
"""As long as a batch of one contact."""

Contacts = Annotated[list[RecordContact], Field(max_length=BATCH_MAX)]


def add_floors(app: FastAPI) -> None:
    """What the web framework costs: the same models in and out, and nothing in between."""

    @app.post("/noop", status_code=201)
    async def noop(command: RecordContact) -> Receipt:
        return Receipt(id=command.outflow, version=1, position=1)

    @app.post("/noop/batch", status_code=207)
    async def noop_batch(commands: Annotated[Contacts, Body()]) -> list[dict[str, Any]]:
        return [{"id": c.outflow, "version": 1, "position": 1} for c in commands]


def add_unrecorded(app: FastAPI) -> None:
    """The questions without their record: what is below the mark, in a thread as above it."""
    for path, route in (("/outflows", questions.away), ("/outflows/{outflow}", questions.one)):
        app.get(f"/floor{path}")(_in_a_thread(route.__wrapped__))  # type: ignore[attr-defined]


def _in_a_thread(ask: Any) -> Any:
    @wraps(ask)
    async def answer(**asked: Any) -> Any:
        return await asyncio.to_thread(partial(ask, **asked))

    return answer


def add_wake(app: FastAPI) -> None:
    """A long poll and what wakes it; the next poll tells that the answer has arrived."""
    told, seen = asyncio.Condition(), 0
    number = 0

    @app.post("/floor/tell")
    async def tell() -> Response:
        nonlocal number
        async with told:
            number += 1
            told.notify_all()
            await told.wait_for(lambda: seen >= number)
        return Response(b"{}")

    @app.get("/floor/bytes")
    async def some(size: Annotated[int, Field(le=BATCH_BYTES)]) -> Response:
        return Response(b"x" * size)

    @app.get("/floor/wait")
    async def wait(after: int) -> Response:
        nonlocal seen
        async with told:
            seen = max(seen, after)
            told.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await told.wait_for(lambda: number > after)
        return Response(ANSWER, headers={"number": str(number)})


def follow(address: str) -> None:
    """Poll such an endpoint for ever, as a lane is pulled."""
    after = 0
    with httpx.Client(trust_env=False, timeout=None) as client, suppress(httpx.HTTPError):  # noqa: S113 - a long poll.
        while True:
            answer = client.get(f"{address}/floor/wait?after={after}")
            after = int(answer.headers["number"])


def _alter(known: dict[str, Any]) -> None:
    """Make batches smaller than they are, or a node slower than it is, to see what that costs."""
    if "entries" in known:
        sync.relay.ENTRIES_MAX = int(known["entries"])
    if pause := float(known.get("slower", 0)):
        accept = Inbox.accept

        def slowly(inbox: Inbox, wire: bytes) -> Outcome:
            time.sleep(pause)
            return accept(inbox, wire)

        Inbox.accept = slowly  # type: ignore[method-assign]


def main(told: str) -> None:
    """Serve until told to stop."""
    # On Python 3.11 kafka-python reads its schemas in a deprecated way.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    known = json.loads(told)
    settings = Settings.model_validate(known["settings"])
    _alter(known)
    database = Database(known["url"], known["schema"])
    with Node(settings, database, KeyFolder.load(Path(known["keys"])).keys) as node:
        server = NodeServer(node, lambda: print("ready", flush=True))
        add_floors(server.app)
        add_wake(server.app)
        add_unrecorded(server.app)
        if "floor" in known:
            Thread(target=follow, args=(known["floor"],), daemon=True).start()
        server.run()
    database.close()


if __name__ == "__main__":
    main(sys.argv[1])
