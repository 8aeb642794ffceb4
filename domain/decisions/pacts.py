"""同步约定: decisions about what a peer may open of ours, for what, and until when."""

from __future__ import annotations

from domain.commands import ChangePact, ConcludePact, EndPact, ResumeKeys
from domain.decisions.home import pact_with, us
from domain.decisions.table import Decision, decide
from domain.ledger import Ledger


@decide.register
def _(command: ConcludePact, ledger: Ledger) -> Decision:
    us(ledger).peer(command.peer)
    pact = pact_with(ledger, command.peer)
    pact.conclude(command.peer, command.terms)
    return (pact,)


@decide.register
def _(command: ChangePact, ledger: Ledger) -> Decision:
    us(ledger).peer(command.peer)
    pact = pact_with(ledger, command.peer)
    pact.change(command.peer, command.terms, command.reason)
    return (pact,)


@decide.register
def _(command: EndPact, ledger: Ledger) -> Decision:
    us(ledger).peer(command.peer)
    pact = pact_with(ledger, command.peer)
    pact.end(command.peer, command.reason)
    return (pact,)


@decide.register
def _(command: ResumeKeys, ledger: Ledger) -> Decision:
    pact = pact_with(ledger, command.peer)
    pact.resume(command.peer, command.keys)
    return (pact,)
