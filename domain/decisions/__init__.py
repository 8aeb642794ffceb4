"""决定: from a command and what the ledger knows to the aggregates that changed, or a refusal."""

from __future__ import annotations

from domain.decisions import activities, contacts, home, host, members, origin
from domain.decisions.table import Decision, decide

__all__ = ["Decision", "activities", "contacts", "decide", "home", "host", "members", "origin"]
