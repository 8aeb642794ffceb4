"""应用: one node's HTTP interface."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import openapi, problems
from api.app_state import Running
from api.audit import Auditor
from api.gate import Gate as Door
from api.node import Node
from api.routes import commands, imports, lanes, questions, reference, upkeep
from api.worker import Worker
from sync.lane_http import Gate

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
    app.state.running = Running(node, worker, Auditor(node.database, node.ledger), Gate(node.relay))
    app.add_middleware(Door)
    problems.install(app)
    openapi.install(app)
    for module in (questions, lanes, upkeep, imports, commands, reference):
        app.include_router(module.router)
    return app
