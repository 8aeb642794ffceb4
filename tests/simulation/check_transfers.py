"""不变式·转接: what must hold of every transfer once the faults have ended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.admission import Admission
from domain.attendance import Attendance
from domain.contact import Contact
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.transfer import Transfer
from tests.simulation.affiliation import File
from tests.simulation.broken import must
from tests.simulation.watch import Account, fact_of
from tests.simulation.world import World

_FOLLOWING = (Contact, Attendance, Inflow)
"""What is recorded about an absence on streams of its own."""


def transferred(world: World) -> None:
    """All of them.

    Raises:
        Broken.
    """
    accounts = world.watch.accounts
    for person in world.watch.files.of:
        last = world.watch.files.line(person)
        if last is not None:
            if not _halved(world, last):
                held_once(last)
            for account in accounts.values():
                known_alike(account, person, last, world.watch.files.files)
    if not world.desk.known["transfer"]:
        return
    for code, account in accounts.items():
        _shown(world, code, account)
        _nothing_left(world, code)
        for entry in account.entries:
            _answered(world, account, entry)
    for file in world.watch.files.files.values():
        goes_on = file.to in accounts and not _halved(world, file)
        if goes_on and world.watch.files.line(file.person):
            followed(accounts, file)


def _halved(world: World, file: File) -> bool:
    """Of his release one peer had heard, and nobody of the transfer's end: half came back."""
    return world.watch.about_gone(world.watch.accounts[file.keeper].streams[file.id])


def held_once(last: File) -> None:
    """6: nobody is in between for ever: who was released to a node has a file there."""
    must(last.to is None, "Conserved: in between for ever.", person=last.person, file=last)


def known_alike(account: Account, person: UUID, last: File, files: dict[UUID, File]) -> None:
    """6: what any ledger says of who holds a member is what his keeper says; never two at once."""
    mine = [id_ for id_ in files if files[id_].person == person and id_ in account.streams]
    open_ = [id_ for id_ in mine if not _released(account, id_)]
    at = {"at": account.code, "person": person, "open": open_}
    must(len(open_) <= 1, "Conserved: held twice.", **at)
    must(not open_ or open_ == [last.id], "Conserved: one holder in every ledger.", **at)
    holds = last.keeper == account.code and last.closed is None
    must(not holds or open_, "Conserved: the holder knows it.", **at)


def _released(account: Account, file: UUID) -> bool:
    return any(e.record.topic == Member.Released.TOPIC for e in account.streams[file])


def _shown(world: World, code: str, account: Account) -> None:
    """5: the board of affiliations says what the ledger says."""
    rows = {row["member"]: row for row in world.stage.rows(code, "affiliation")}
    for id_, row in rows.items():
        facts = account.facts(id_)
        gone: Any = next((f for f in facts if isinstance(f, Member.Released)), None)
        same = row["released_to"] == (gone and gone.to) and row["keeper"] == facts[0].meta.keeper
        must(same, "Converged: the board's holder.", at=code, file=id_, row=row)
    held = [row["person"] for row in rows.values() if row["released_on"] is None]
    must(len(held) == len(set(held)), "Conserved: counted twice.", at=code)


def _nothing_left(world: World, code: str) -> None:
    """6: no transfer waits for what a node does by itself."""
    left = world.nodes[code]._further()  # noqa: SLF001 - what it would do next.
    must(not left, "Delivered: done by itself.", at=code, left=left)


def _answered(world: World, mine: Account, entry: Any) -> None:
    """6: each answer of a receiver is noted by the origin, once, and both know it.

    What answers a letter that is lost for good is answered by nobody.
    """
    fact = entry.fact
    if not isinstance(fact, Admission.Admitted | Admission.Refused | Admission.SlipReturned):
        return
    origin = mine.keeper(fact.transfer) if fact.transfer in mine.streams else None
    accounts = world.watch.accounts
    if fact.meta.keeper != mine.code or origin not in accounts or _is_gone(world, fact.transfer):
        return
    for account in (mine, accounts[origin]):
        answered(account, fact, digest(entry.record))


def _is_gone(world: World, transfer: UUID) -> bool:
    """Whether something of a transfer, or of the file it is about, is lost for good."""
    about = [
        account.streams.get(stream, [])
        for account in world.watch.accounts.values()
        for entry in account.streams.get(transfer, [])[:1]
        for stream in (transfer, getattr(entry.fact, "member", transfer))
    ]
    return transfer in world.watch.gone or any(map(world.watch.about_gone, about))


def answered(account: Account, fact: Any, said: str) -> None:
    """6, of one answer in one ledger."""
    passed, facts = account.passed[fact.transfer], account.facts(fact.transfer)
    at = {"at": account.code, "transfer": fact.transfer, "state": passed.state}
    match fact:
        case Admission.Admitted():
            must(said in passed.answers, "Conserved: each admission has one answer.", **at)
        case Admission.Refused():
            noted = any(isinstance(f, Transfer.Contested) and f.refusal == said for f in facts)
            over = passed.state != "sent" or passed.dispatch > fact.dispatch
            must(noted or over, "Delivered: a refusal is noted.", **at)
        case Admission.SlipReturned():
            # A slip of an admission that was void says nothing of the one that counts.
            waits = passed.state == "admitted" and passed.dispatch == fact.dispatch
            must(not waits, "Delivered: a slip completes.", **at)


def followed(accounts: dict[str, Account], file: File) -> None:
    """2: nothing that anybody has recorded of his absences is lost to a member's new keeper."""
    origin, there = accounts[file.keeper], accounts[str(file.to)]
    absences = {
        stream
        for stream, entries in origin.streams.items()
        if isinstance(first := fact_of(entries[0]), Outflow.Registered) and first.member == file.id
    }
    passed_on = {
        (fact.record, fact.record_version)
        for stream in there.streams
        for fact in there.facts(stream)
        if isinstance(fact, Transfer.Forwarded)
    }
    at = {"file": file.id, "to": there.code}
    for absence in absences:
        must(absence in there.streams, "Delivered: history follows.", **at, absence=absence)
    for account in accounts.values():
        for stream in _about(account, absences):
            places = {(stream, e.record.originator_version) for e in account.streams[stream]}
            heard = stream in there.streams or places <= passed_on
            must(heard, "Delivered: history follows.", **at, by=account.code, stream=stream)


def _about(account: Account, absences: set[UUID]) -> dict[UUID, None]:
    """What a node keeps of these absences."""
    found: dict[UUID, None] = {}
    for stream, entries in account.streams.items():
        first = fact_of(entries[0])
        mine = first.AGGREGATE in _FOLLOWING and first.meta.keeper == account.code
        if mine and any(getattr(fact_of(e), "outflow", None) in absences for e in entries):
            found[stream] = None
    return found
