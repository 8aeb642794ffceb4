"""应用: one node's HTTP interface."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import openapi, problems
from api.access.reading import marked
from api.agreement.reconcile import answering
from api.app_state import Running
from api.audit.auditor import Auditor
from api.audit.reading import Reader
from api.gate import Gate as Door
from api.node import Node
from api.routes import (
    access,
    agreements,
    audit,
    bundles,
    commands,
    erasures,
    facts,
    fence,
    finding,
    history,
    imports,
    keys,
    lanes,
    log,
    pacts,
    paper,
    passport,
    quarantine,
    questions,
    reference,
    transfers,
    upkeep,
)
from api.searching import Searches
from api.where import Tracker
from api.worker import Worker
from sync.signed_http import Gate

SWITCH_S = 0.001
"""How long one thread may keep the interpreter from another that wants it."""

MODULES = (
    commands,
    questions,
    finding,
    history,
    access,
    audit,
    transfers,
    paper,
    facts,
    erasures,
    passport,
    pacts,
    lanes,
    log,
    fence,
    keys,
    bundles,
    agreements,
    quarantine,
    upkeep,
    imports,
    reference,
)

DESCRIPTION = """
一个组织的节点：台账、读模型和通道。人员账号启用之前，人员接口只接受本机访问。

One organization's node: its ledger, read models and lanes. Until people have accounts, the
people's interface takes calls from this machine only; calls from peers are signed.
"""


def create_app(node: Node) -> FastAPI:
    """The application of a node; its worker runs for as long as the application does."""
    worker = Worker(node)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        # What start-up has made stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        # A commit or a read model must not wait 5 ms, Python's default, for who signs a request.
        sys.setswitchinterval(SWITCH_S)
        try:
            yield
        finally:
            worker.stop()

    app = FastAPI(
        title=f"驿站 Waystation · {node.settings.name}",
        description=DESCRIPTION,
        version="0.1.0",
        lifespan=lifespan,
        # FastAPI's own pages load their programs from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.node = node
    auditor, gate = Auditor(Reader(node)), Gate(node.relay)
    tracker = Tracker(node, worker.signer)
    searches = Searches(node.settings.searches_per_minute)
    parts = (worker, auditor, gate, tracker, answering(node), searches)
    app.state.running = Running(node, *parts)
    app.add_middleware(Door)
    problems.install(app)
    openapi.install(app)
    # Into one list, commands first: an included router is searched twice for every request.
    for module in MODULES:
        app.router.routes.extend(marked(module.router.routes))
    return app
