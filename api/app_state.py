"""运行状态: what a running application holds, for its routes."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from api.audit.auditor import Auditor
from api.node import Node
from api.searching import Searches
from api.where import Tracker
from api.worker import Worker
from sync.answering import Answering
from sync.signed_http import Gate


@dataclass(frozen=True)
class Running:
    """A node with its worker, its auditor, what its peers pass and ask, and who searches."""

    node: Node
    worker: Worker
    auditor: Auditor
    gate: Gate
    tracker: Tracker
    answering: Answering
    searches: Searches


def running(request: Request) -> Running:
    """What is running behind a request."""
    held: Running = request.app.state.running
    return held
