"""台账: the one place where facts are written, looked up, and read again in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from threading import Condition, Lock
from typing import TypeVar
from uuid import UUID

from eventsourcing.persistence import IntegrityError, PersistenceError, StoredEvent, Tracking

from domain import records
from domain.aggregate import Aggregate, Fact
from domain.errors import Refusal
from domain.recording import (
    Beside,
    Entry,
    Keep,
    KeptKeyring,
    NotFound,
    NotOurs,
    OutcomeUnknown,
    Overtaken,
    Receipt,
    Recorder,
    Write,
)
from domain.values import OrgCode

__all__ = [
    "BATCH_MAX",
    "Beside",
    "Entry",
    "Keep",
    "KeptKeyring",
    "Ledger",
    "NotFound",
    "NotOurs",
    "OutcomeUnknown",
    "Overtaken",
    "Receipt",
    "Recorder",
    "Write",
]

A = TypeVar("A", bound=Aggregate)

CACHE_MAX = 50_000
"""Aggregates kept in memory; the oldest unused one makes room."""

BATCH_MAX = 1_000
"""Entries read at once."""

STREAM_MAX = 10_000
"""Facts of one stream read at once; one aggregate is one absence, one contact, one person."""


class Ledger:
    """Record, look up, open, since, replicate."""

    def __init__(self, org: OrgCode, recorder: Recorder, keyring: KeptKeyring) -> None:
        self.org = org
        self.keyring = keyring
        self._recorder = recorder
        self._cache: OrderedDict[UUID, Aggregate] = OrderedDict()
        self._lock = Lock()
        self._news = Condition()
        self._calls = self._forgotten = 0
        self._head = recorder.head()

    def find(self, kind: type[A], id: UUID) -> A | None:  # noqa: A002
        """An aggregate to read, whoever keeps it; never change it."""
        with self._lock:
            known = self._cache.get(id)
            if known is not None:
                self._cache.move_to_end(id)
        aggregate = known or self._load(id)
        return aggregate if isinstance(aggregate, kind) else None

    def look_up(self, kind: type[A], id: UUID) -> A:  # noqa: A002
        """As find.

        Raises:
            NotFound: nothing of that kind and id is here.
        """
        found = self.find(kind, id)
        if found is None:
            raise NotFound(kind=kind.__name__.lower(), id=id)
        return found

    def open(self, kind: type[A], id: UUID, version: int | None = None) -> A:  # noqa: A002
        """An aggregate to change: a private copy.

        Raises:
            NotFound, NotOurs: another organization is the keeper.
            Overtaken: it is not at the version the caller has seen.
        """
        found = self.look_up(kind, id)
        self._must_keep(found)
        if version is not None and version != found.version:
            raise Overtaken(id=id, expected=version, actual=found.version)
        return found.private_copy()

    def _must_keep(self, aggregate: Aggregate) -> None:
        if aggregate.keeper != self.org:
            kind = type(aggregate).__name__.lower()
            raise NotOurs(kind=kind, id=aggregate.id, keeper=aggregate.keeper)

    def facts(self, id: UUID) -> list[Fact]:  # noqa: A002
        """The facts of one stream in order; those of unknown topics left out."""
        read = map(records.decode, self._records(id, 0))
        return [fact for fact in read if fact is not None]

    def stream(self, id: UUID, after: int = 0) -> list[StoredEvent]:  # noqa: A002
        """The records of one stream as they are stored."""
        return list(self._records(id, after))

    def _records(self, id: UUID, after: int) -> Iterator[StoredEvent]:  # noqa: A002
        while page := self._recorder.stream(id, after, STREAM_MAX):
            yield from page
            if len(page) < STREAM_MAX:
                return
            after = page[-1].originator_version

    def preload(
        self, ids: Iterable[UUID], read: Callable[[Sequence[UUID]], Iterable[list[StoredEvent]]]
    ) -> None:
        """Look many streams up at once, ahead of being asked for them one by one."""
        with self._lock:
            missing, forgotten = [i for i in set(ids) if i not in self._cache], self._forgotten
        if missing:
            found = map(_folded, read(missing))
            self._remember([each for each in found if each is not None], forgotten)

    def _load(self, id: UUID) -> Aggregate | None:  # noqa: A002
        forgotten = self._forgotten
        aggregate = _folded(self._records(id, 0))
        if aggregate is not None:
            self._remember((aggregate,), forgotten)
        return aggregate

    def _remember(self, aggregates: Sequence[Aggregate], forgotten: int | None = None) -> None:
        with self._lock:
            if forgotten not in {None, self._forgotten}:
                return  # A fact that came in during the reading may be missing from it.
            for aggregate in aggregates:
                known = self._cache.get(aggregate.id)
                newer = aggregate.version if known is None else aggregate.version - known.version
                if newer > 0:
                    self._cache[aggregate.id] = aggregate
                    self._cache.move_to_end(aggregate.id)
            while len(self._cache) > CACHE_MAX:
                self._cache.popitem(last=False)

    # Writing.

    def submit(
        self,
        aggregates: Sequence[Aggregate],
        then: Callable[[Receipt | Exception], None],
        beside: tuple[Beside, ...] = (),
    ) -> None:
        """Write the pending facts of one command; `then` is called after the commit.

        It gets the receipt of the first aggregate, or Overtaken; nothing is half written.

        Raises:
            NotOurs: another organization keeps one of them.
        """
        encoded = self._encode(aggregates)
        first = aggregates[0]
        if not encoded:
            then(Receipt(id=first.id, version=first.version, position=self._head))
            return
        keys = tuple(key for each in encoded for key in each.keys)
        write = Write(tuple(each.record for each in encoded), self.keyring.beside(keys) + beside)

        def settle(done: Future[list[int]]) -> None:
            outcome, position = _outcome(done, first), self._head
            if isinstance(outcome, Receipt):
                position = outcome.position
                self.keyring.kept(keys, aggregates)
                self._remember(aggregates)
            else:
                self.forget({a.id for a in aggregates})
            # Also after a refusal: it may be the last answer of a commit that others share.
            self._announce(position, more=write.more)
            then(outcome)

        write.done.add_done_callback(settle)
        self._recorder.submit(write)

    def _encode(self, aggregates: Sequence[Aggregate]) -> list[records.Encoded]:
        for aggregate in aggregates:
            self._must_keep(aggregate)
        return [
            records.encode(fact, self.keyring) for a in aggregates for fact in a.collect_events()
        ]

    def record(self, *aggregates: Aggregate, beside: tuple[Beside, ...] = ()) -> Receipt:
        """As submit, waiting for the commit.

        Raises:
            Overtaken: somebody else was first; nothing is written.
        """
        answer: Future[Receipt] = Future()

        def then(outcome: Receipt | Exception) -> None:
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        self.submit(aggregates, then, beside)
        return answer.result()

    def replicate(
        self,
        replicated: Sequence[StoredEvent],
        tracking: Tracking | None,
        beside: tuple[Beside, ...] = (),
    ) -> None:
        """Take records in, verbatim: a peer's with its lane's bookmark, or our own once more.

        Raises:
            Overtaken: a record or the bookmark is there already; nothing is written.
        """
        write = Write(tuple(replicated), beside, tracking)
        self._recorder.submit(write)
        try:
            positions = write.done.result()
        except IntegrityError as fault:
            raise Overtaken(lane=tracking.application_name if tracking else self.org) from fault
        finally:
            # Also when nobody knows whether they are recorded: they may be, and are not sent again.
            self.forget({r.originator_id for r in replicated if isinstance(r.originator_id, UUID)})
        if positions:
            self._announce(positions[-1])

    def forget(self, ids: Iterator[UUID] | set[UUID]) -> None:
        """Read these streams anew next time."""
        with self._lock:
            self._forgotten += 1
            for id_ in ids:
                self._cache.pop(id_, None)

    @property
    def head(self) -> int:
        """The last position committed through this ledger."""
        return self._head

    def since(self, position: int, limit: int = BATCH_MAX) -> list[Entry]:
        """Entries after a position, oldest first, at most BATCH_MAX."""
        return self._recorder.since(position, min(limit, BATCH_MAX))

    def wait_beyond(self, position: int, timeout: float) -> bool:
        """Wait, at most `timeout` seconds or until woken, for the head to be beyond a position."""
        with self._news:
            calls = self._calls
            self._news.wait_for(lambda: self._head > position or self._calls > calls, timeout)
            return self._head > position

    def wake(self) -> None:
        """Let everybody who waits look around (to stop, say)."""
        with self._news:
            self._calls += 1
            self._news.notify_all()

    def _announce(self, position: int, *, more: bool = False) -> None:
        """Move the head; whoever waits is woken once a commit, not once a command."""
        with self._news:
            self._head = max(self._head, position)
            if not more:
                self._news.notify_all()


def _outcome(done: Future[list[int]], first: Aggregate) -> Receipt | Refusal:
    try:
        position = done.result()[-1]
    except IntegrityError:
        return Overtaken(id=first.id, version=first.version)
    except PersistenceError:
        return OutcomeUnknown(id=first.id)
    except Refusal as refusal:
        return refusal
    return Receipt(id=first.id, version=first.version, position=position)


def _folded(stream: Iterable[StoredEvent]) -> Aggregate | None:
    aggregate: Aggregate | None = None
    for record in stream:
        fact = records.decode(record)
        if fact is not None:
            aggregate = fact.mutate(aggregate)
        elif aggregate is not None:
            aggregate.heard_by(records.audience(record))
            aggregate.version = record.originator_version
    return aggregate
