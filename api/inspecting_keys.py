"""自查·密钥: whether keys, their files and what is closed fit the facts that name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import sleep
from typing import NamedTuple
from uuid import UUID

from api.node import Node
from api.settings import FILE, Settings
from api.storage.keyring import NodeKeyring
from api.storage.vault import Vault, VaultDamaged
from domain.aggregate import Fact
from domain.destruction import Destruction
from domain.errors import Refusal
from domain.ledger import BATCH_MAX
from domain.member import Member
from domain.records import PERSONAL, open_field
from domain.sealing import Closure, Sealed, Unopenable
from domain.signet import Signet
from domain.values import DataClass, OrgCode
from projections import phones
from sync.key_folder import KeyFolder, missing
from sync.verifier.defect import Defect, bad

_HELD = "SELECT id, subject, data_class, minted_by FROM subject_key ORDER BY id"
_DESTROYED = "SELECT id, person, data_class FROM destroyed_key ORDER BY id"
UNDER_WAY_S = 1.0
"""How long an erasure may take from its fact to what is carried out."""

FILES_TRIED = 20
"""Members by whose pseudonyms it is seen that the key of pseudonyms is the one it was."""


class Said(NamedTuple):
    """What the facts say of keys."""

    sealing: dict[UUID, tuple[UUID, DataClass, OrgCode]]
    """By key, whose data of which class it seals, and who minted it."""
    destroyed: set[UUID]
    """Keys that this organization has confirmed to have destroyed."""


def said(node: Node) -> Said:
    """The ledger from end to end."""
    found = Said({}, set())
    for fact in _facts(node):
        if isinstance(fact, Destruction.Done) and fact.meta.keeper == node.ledger.org:
            found.destroyed.update(fact.keys)
        for name, data_class in PERSONAL[fact.TOPIC]:
            value, subject = getattr(fact, name), fact.meta.subject
            if isinstance(value, Sealed) and subject is not None:
                named = (subject, data_class, fact.meta.keeper)
                found.sealing.setdefault(value.key_id, named)
    return found


def _facts(node: Node) -> Iterator[Fact]:
    position = 0
    while entries := node.ledger.since(position, BATCH_MAX):
        yield from (entry.fact for entry in entries if entry.fact is not None)
        position = entries[-1].position


def kept(node: Node) -> None:
    """Each key opens as its row says, is used for that, and ours are all here or destroyed."""
    with node.eraser.lock:
        found = node.keyring.unlike(node.keyring.vault)
    if found:
        raise bad(f"密钥 key {found[0]}", found[1])
    facts, held = said(node), set()
    for row in node.database.rows(_HELD, {}):
        held.add(row["id"])
        named = facts.sealing.get(row["id"])
        if named and named != (row["subject"], row["data_class"], row["minted_by"]):
            raise bad(f"密钥 key {row['id']}", "the facts use it for somebody else")
    gone = node.keyring.vault.keys
    for key, (_, _, org) in facts.sealing.items():
        if org == node.ledger.org and key not in held and key not in gone:
            raise bad(f"密钥 key {key}", "it is missing, and was not destroyed")


def closed(node: Node) -> None:
    """What is closed is what the erasures say, and every destroyed key is on each list of them."""
    if _unlike(node):
        sleep(UNDER_WAY_S)  # What was asked a moment ago may be under way.
        if place := _unlike(node):
            raise bad(place, "the erasures do not say so")
    facts = said(node)
    with node.eraser.lock:
        _, ids = node.eraser.book.carried()
        listed = set(node.keyring.vault.keys)
        there = {row["id"]: row for row in node.database.rows(_DESTROYED, {})}
    for key in sorted(facts.destroyed - listed):
        raise bad(f"keys/destroyed {key}", "it is missing, and was confirmed")
    for key in sorted(there.keys() ^ listed):
        raise bad(f"destroyed_key {key}", "it stands in one list of two")
    for key, row in there.items():
        subject, data_class, _ = facts.sealing.get(key, (None, row["data_class"], None))
        known = ids.get(row["person"], set())
        if row["data_class"] != data_class or (subject or row["person"]) not in known:
            raise bad(f"destroyed_key {key}", "the facts use it for somebody else")


def _unlike(node: Node) -> str | None:
    """The first place where what is carried out here is not what the erasures say."""
    wanted, carried, ids = node.eraser.stands()
    every = {person: node.eraser.about(person).subjects for person, _ in wanted}
    asked = {(id_, each): why for (p, each), why in wanted.items() for id_ in every[p]}
    for place in sorted(asked.keys() | carried.keys(), key=str):
        if asked.get(place) is not carried.get(place):
            return "closing {} {}".format(*place)
    for person in sorted(ids.keys() | every.keys()):
        if ids.get(person) != every.get(person):
            return f"closing {person}"
    erased = {place for place, why in asked.items() if why is Closure.ERASED}
    for place in sorted(erased ^ node.keyring.vault.persons, key=str):
        return "keys/destroyed {} {}".format(*place)
    return None


def folder(node: Node) -> None:
    """The files of the node's folder are those by which its database was written."""
    path = node.key_change.path
    if path is None:
        return
    for name in missing(path):
        raise bad(f"keys/{name}", "it is missing")
    try:
        with closing(Vault(path, b"")) as empty:
            if (empty.persons, empty.keys) != (node.keyring.vault.persons, node.keyring.vault.keys):
                raise bad("keys/destroyed", "it is not what the node has destroyed")
        _must_be_ours(node, path)
        _must_be_settings(node, path.parent)
    except Defect:
        raise
    except VaultDamaged as fault:
        raise bad(f"keys/destroyed:{fault.facts['line']}", str(fault)) from None
    except Refusal as fault:
        raise bad(str(fault.facts.get("file", path.name)), str(fault)) from None


def _must_be_ours(node: Node, path: Path) -> None:
    read = KeyFolder.load(path)
    signet = node.ledger.look_up(Signet, Signet.id_of(node.ledger.org))
    pair = read.pair(signet.verify_key)
    if pair is None or pair.sealing_key != signet.sealing_key:
        raise bad("keys/*.pair", "the pair that the ledger names is not there")
    with closing(Vault(path, read.keys.master)) as vault:
        if found := node.keyring.unlike(vault):
            raise bad("keys/master.key, keys/slots", f"key {found[0]}: {found[1]}")
        ring = NodeKeyring(node.database, node.ledger.org, read.keys.master, read.keys.blind, vault)
    ring.search_by(read.keys.search or read.keys.blind)
    phones.must_fit(node.database, ring)
    for member, number in _numbers(node):
        pseudonym = ring.blind("member", number)
        if member not in {Member.id_of(pseudonym, nth) for nth in range(1, FILES_TRIED + 1)}:
            raise bad("keys/blind.key", f"it does not give member {member} the id he has")


def _numbers(node: Node) -> Iterator[tuple[UUID, str]]:
    """Some members of ours, with the number from which the id was made."""
    tried = 0
    for fact in _facts(node):
        if type(fact) is Member.Registered and fact.meta.keeper == node.ledger.org:
            try:
                number = open_field(fact, "number", node.keyring)
            except Unopenable:
                continue
            if number is not None:
                yield fact.originator_id, number
                tried += 1
            if tried == FILES_TRIED:
                return


def _must_be_settings(node: Node, home: Path) -> None:
    """What the ledger was begun with; all else an operator may change at any time."""
    if (home / FILE).exists():
        try:
            now, begun = Settings.load(home), node.settings
        except Refusal as fault:
            raise bad(FILE, str(fault)) from None
        if (now.code, now.suite) != (begun.code, begun.suite):
            raise bad(FILE, "code or suite is not that of the ledger")
