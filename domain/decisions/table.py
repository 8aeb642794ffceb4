"""决定表: each command finds the function that decides it by its type."""

from __future__ import annotations

from functools import singledispatch

from domain.aggregate import Aggregate
from domain.commands import Command
from domain.ledger import Ledger

Decision = tuple[Aggregate, ...]
"""The changed aggregates, recorded all or none; the first is what the command was about."""


@singledispatch
def decide(command: Command, ledger: Ledger) -> Decision:  # noqa: ARG001
    """Decide one command; the stamp of the moment says who asks, and when.

    Raises:
        Refusal: with the reason; nothing has been written.
    """
    raise TypeError(f"No decision is registered for {type(command).__name__}.")
