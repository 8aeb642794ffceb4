"""运行状态: what a running application holds, for its routes."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from api.audit import Auditor
from api.node import Node
from api.worker import Worker
from sync.lane_http import Gate


@dataclass(frozen=True)
class Running:
    """A node with its worker, its auditor and the gate its peers pass."""

    node: Node
    worker: Worker
    auditor: Auditor
    gate: Gate


def running(request: Request) -> Running:
    """What is running behind a request."""
    held: Running = request.app.state.running
    return held
