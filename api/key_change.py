"""换钥: what a node does about its own keys at its start, when asked, when peers have heard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from api.service import BY_ITSELF, Who
from domain.catalogue import reads
from domain.commands import ChangeKeys, Command, OpenSignet, TellReads
from domain.errors import Refusal
from domain.ledger import Ledger, OutcomeUnknown, Receipt
from domain.signet import How, Signet
from domain.values import OrgCode
from sync.key_folder import KeyFolder
from sync.keys import fingerprint
from sync.store import LaneStore
from sync.succession import succession


class RotationUnderWay(Refusal):
    """上一次换钥尚有对方未确认。Peers have not confirmed the last change of keys yet."""

    mend = (
        "请等 waiting_for 中的组织确认；急需停用旧密钥的用吊销。"
        "Wait for those in waiting_for; to end the old key at once, revoke it."
    )


class KeyChange:
    """Changes keys in an order in which a crash at any step leaves a node that starts.

    The new pair is in the folder before anything names it, and signs beside the old one before
    the ledger does. The commit is the change. The old pair signs on until every peer has
    confirmed the fact that announces the new one, and is then removed.
    """

    def __init__(
        self,
        ledger: Ledger,
        lanes: LaneStore,
        folder: KeyFolder,
        execute: Callable[[Command, Who], Receipt],
    ) -> None:
        self._ledger, self._lanes, self._folder, self._execute = ledger, lanes, folder, execute
        self._lock = Lock()

    @property
    def signet(self) -> Signet | None:
        """Our keys, as the ledger names them; None before the first start."""
        return self._ledger.find(Signet, Signet.id_of(self._ledger.org))

    def choose(self) -> None:
        """Sign by the pair that the ledger names.

        Raises:
            KeyMissing.
        """
        if signet := self.signet:
            self._folder.choose(signet.verify_key, signet.old_key, signet.keys)

    def announce(self) -> None:
        """At each start: put down the first key, or tell the peers what the node reads now."""
        keys = self._folder.keys
        if self.signet is None:
            opening = OpenSignet(
                verify_key=keys.verify_key, sealing_key=keys.sealing_key, reads=reads()
            )
            self._execute(opening, BY_ITSELF)
        else:
            self._execute(TellReads(reads=reads()), BY_ITSELF)

    def rotate(self, who: Who) -> Receipt:
        """Go over to a new pair; the old one counts for what it has signed.

        Raises:
            RotationUnderWay: a peer would have to take two steps at once.
        """
        with self._lock:
            if waiting := self.waiting_for():
                raise RotationUnderWay(waiting_for=sorted(waiting))
            return self._change("rotated", who)

    def revoke(self, who: Who, reason: str, second_person: str) -> Receipt:
        """Go over to a new pair; peers that hear of it believe the old one nothing more."""
        with self._lock:
            return self._change("revoked", who, reason=reason, second_person=second_person)

    def replace(self, who: Who, reason: str, second_person: str) -> Receipt:
        """The old key is lost or may be in other hands: only the new one signs, by itself."""
        with self._lock:
            return self._change("replaced", who, reason=reason, second_person=second_person)

    def waiting_for(self) -> set[OrgCode]:
        """The peers that have not confirmed the newest change of keys."""
        signet = self.signet
        if signet is None or not signet.changed_in:
            return set()
        return self._lanes.unaware(signet.audience, signet.id, signet.changed_in)

    def retire(self) -> bool:
        """Remove the old pair once every peer has confirmed the new one; whether it was."""
        with self._lock:
            self.choose()
            signet = self.signet
            if signet is None or not signet.old_key or self.waiting_for():
                return False
            return self._folder.retire(signet.old_key)

    @property
    def path(self) -> Path | None:
        """Where the files of keys are; None where they are in memory (tests)."""
        return self._folder.path

    def renew_search(self) -> bytes:
        """Another key to search by: of no peer's concern, and of no fact's."""
        return self._folder.renew_search()

    def shown(self) -> dict[str, Any]:
        """What people are shown of our keys: nothing secret."""
        keys, signet = self._folder.keys, self.signet
        return {
            "number": signet.number if signet else 1,
            "fingerprint": fingerprint(keys.verify_key, keys.sealing_key),
            "verify_key": keys.verify_key,
            "signs_beside": [pair.verify_key for pair in keys.signers[1:]],
            "waiting_for": sorted(self.waiting_for()),
        }

    def _change(self, how: How, who: Who, **why: str) -> Receipt:
        if self.signet is None:
            self.announce()
        if how != "replaced":
            self.choose()  # A change before this one may have been recorded without an answer.
        signet = self._ledger.look_up(Signet, Signet.id_of(self._ledger.org))
        keys = self._folder.keys
        new = self._folder.next_pair(signet.keys)
        said = succession(how, signet, keys, new)
        before, old = keys.signers, keys.signers[0]
        if how != "replaced":
            for former in before[1:]:
                self._folder.open_by(former)  # Whatever the outcome of this change.
            keys.signers = (old, new)
        try:
            receipt = self._execute(ChangeKeys(how=how, succession=said, **why), who)
        except OutcomeUnknown:
            raise  # It may be recorded: both sign until `choose` has read what is.
        except BaseException:
            keys.signers = before
            raise
        self.choose()
        return receipt
