"""换钥核对: a peer's change of keys is believed when its old key and its new one have signed it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from uuid import UUID, uuid5

from eventsourcing.persistence import StoredEvent

from domain import records
from domain.aggregate import Aggregate, Fact, Stamp, current
from domain.ledger import Ledger
from domain.organization import KeyUsedBefore, Organization, Succeeded
from domain.signet import How, Signet, Succession
from domain.values import Author, OrgCode
from sync.errors import KeyNotProven, NotTheirTopic
from sync.keys import NodeKeys, Pair, b64, fingerprint, sealable, usable, verify


def succession(how: How, signet: Signet, keys: NodeKeys, new: Pair) -> Succession:
    """The words by which the key in use hands over to a new one, signed by both."""
    draft = Succession(
        number=signet.number + 1,
        old_key=signet.verify_key,
        verify_key=new.verify_key,
        sealing_key=new.sealing_key,
        by_new="A" * 86 + "==",
    )
    words = draft.words(how, signet.keeper)
    by_old = None if how == "replaced" else b64(keys.sign(words))
    return draft.model_copy(update={"by_old": by_old, "by_new": b64(new.sign(words))})


def check(fact: Fact, aggregate: Aggregate | None, sender: OrgCode) -> None:
    """Whether a peer's keys follow one another as it says.

    Raises:
        NotTheirTopic: it is the place of another organization's keys.
        KeyNotProven: with what is missing.
    """
    if not isinstance(fact, Signet.Opened | Signet.Rotated | Signet.Revoked | Signet.Replaced):
        return
    if fact.originator_id != Signet.id_of(sender):
        raise NotTheirTopic(topic=fact.TOPIC, stream=fact.originator_id)
    said = fact if isinstance(fact, Signet.Opened) else fact.succession
    if not (usable(said.verify_key) and sealable(said.sealing_key)):
        raise KeyNotProven(topic=fact.TOPIC, because="a key with which nothing can be checked")
    if not isinstance(fact, Signet.Opened):
        because = _unproven(fact.HOW, fact.succession, aggregate, sender)
        if because:
            raise KeyNotProven(topic=fact.TOPIC, number=fact.succession.number, because=because)


def _unproven(
    how: How, said: Succession, aggregate: Aggregate | None, sender: OrgCode
) -> str | None:
    if not isinstance(aggregate, Signet):
        return "no key comes before it"
    if said.number != aggregate.number + 1 or said.old_key != aggregate.verify_key:
        return "it does not follow the key in use"
    if said.verify_key in aggregate.keys:
        return "a key that was given up does not come back"
    words = said.words(how, sender)
    if not verify(said.verify_key, words, base64.b64decode(said.by_new)):
        return "the new key has not signed it"
    if how != "replaced" and not _signed(said.old_key, words, said.by_old):
        return "the old key has not signed it"
    return None


def _signed(key: str, words: bytes, signature: str | None) -> bool:
    return signature is not None and verify(key, words, base64.b64decode(signature))


def adopted(
    ledger: Ledger, taken: Iterable[StoredEvent], until: int, now: datetime
) -> list[StoredEvent]:
    """Our own records of the keys that peers have changed, to go down with what announces them.

    In one commit with the announcement: no later message can find the new keys unknown. A change
    that does not follow the key by which we know the peer changes nothing here.
    """
    changes = [
        fact
        for record in taken
        if record.topic in {Signet.Rotated.TOPIC, Signet.Revoked.TOPIC}
        and isinstance(fact := records.decode(record), Signet.Rotated | Signet.Revoked)
    ]
    if not changes:
        return []
    organization = ledger.open(Organization, Organization.id_of(ledger.org))
    for fact in changes:
        _adopt(organization, fact, until, now)
    made = organization.collect_events()
    return [records.encode(each, ledger.keyring).record for each in made]


def _adopt(
    us: Organization, fact: Signet.Rotated | Signet.Revoked, until: int, now: datetime
) -> None:
    said = fact.succession
    known = us.peers.get(fact.meta.keeper)
    if known is None or known.verify_key != said.old_key:
        return
    keys = {
        "verify_key": said.verify_key,
        "sealing_key": said.sealing_key,
        "fingerprint": fingerprint(said.verify_key, said.sealing_key),
    }
    how: Succeeded = "rotated" if fact.HOW == "rotated" else "revoked"
    token = current.set(_stamp(us.code, fact, now))
    try:
        # A key that we were told of by telephone, and gave up, is not taken back either.
        with suppress(KeyUsedBefore):
            us.rekey(known.model_copy(update=keys), how, until, fact.id, fact.meta.recorded_at)
    finally:
        current.reset(token)


def _stamp(org: OrgCode, fact: Fact, now: datetime) -> Stamp:
    command: UUID = uuid5(fact.originator_id, f"rekey:{fact.originator_version}")
    return Stamp(
        author=Author(org=org, person="waystation", role="node", channel="automatic"),
        now=now,
        correlation=fact.meta.correlation,
        command=command,
        causation=fact.id,
    )
