"""决定: from a command and what the ledger knows to the aggregates that changed, or a refusal."""

from __future__ import annotations

from domain.decisions import (
    activities,
    admissions,
    contacts,
    erasures,
    home,
    host,
    members,
    origin,
    pacts,
    transfers,
)
from domain.decisions.table import Decision, decide

__all__ = [
    "Decision",
    "activities",
    "admissions",
    "contacts",
    "decide",
    "erasures",
    "home",
    "host",
    "members",
    "origin",
    "pacts",
    "transfers",
]
