"""服务: takes a command from any way in, has it decided, and answers after its commit."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from uuid import NAMESPACE_URL, UUID, uuid5

from api.storage.database import Database
from domain.aggregate import Aggregate, Stamp, current
from domain.commands import Command
from domain.decisions import Decision, decide
from domain.errors import Invalid, Refusal
from domain.ledger import Beside, Ledger, Overtaken, Receipt
from domain.sealing import draw
from domain.values import Author, Channel, FactId, OrgCode, Source

ATTEMPTS_MAX = 4
"""How often a command that was overtaken is decided anew before the person is told."""

REPLAY_DAYS = 7
"""How long an Idempotency-Key is remembered."""

TABLES = """
    CREATE TABLE IF NOT EXISTS idempotency (
        key text PRIMARY KEY, digest text NOT NULL, stream uuid NOT NULL, version bigint NOT NULL,
        at timestamptz NOT NULL
    );
    ALTER TABLE idempotency ADD COLUMN IF NOT EXISTS more int NOT NULL DEFAULT 0;
    CREATE INDEX IF NOT EXISTS idempotency_at ON idempotency (at);
"""
BESIDE = {
    "idempotency": "INSERT INTO idempotency VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
}


class Stale(Refusal):
    """记录已有新的版本。The record is no longer at the version in If-Match."""

    kind = "stale"
    mend = "请重新读取，核对后再试。Read it again, look at what has changed, and retry."


class AlreadyRecorded(Refusal):
    """这条记录已经登记过。This is recorded already."""

    mend = "无需重复登记；如内容有误，请更正。There is nothing to do; if it is wrong, correct it."


class KeyReused(Invalid):
    """同一个 Idempotency-Key 用于不同的内容。The Idempotency-Key was used for another request."""

    mend = "请为新的请求使用新的键。Use a new key for a new request."


class StillUnderWay(Refusal):
    """同一个请求正在处理。A request with this Idempotency-Key is still under way."""

    mend = "请稍后用同一个键再问结果。Ask again in a moment, with the same key."


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, from where, and as part of what."""

    person: str = "officer"
    role: str = "officer"
    on_behalf_of: str | None = None
    channel: Channel = "api"
    source: Source | None = None
    correlation: UUID | None = None
    causation: FactId | None = None
    key: str | None = None
    """Makes the command itself repeatable: the same key again is the same command."""


BY_ITSELF = Who(person="waystation", role="node", channel="automatic")


class Service:
    """One for a node; both ways of executing share the same path but for the waiting."""

    def __init__(self, ledger: Ledger, database: Database, clock: Callable[[], datetime]) -> None:
        self.ledger, self._database, self._clock = ledger, database, clock
        self.gate: Callable[[Command], None] = lambda _: None
        """Refuses a command that must not be recorded now."""
        self._under_way: set[str] = set()
        self._lock = Lock()
        self._answers: deque[tuple[asyncio.Future[Receipt], Receipt | Exception]] = deque()
        with database.connection() as conn:
            conn.execute(TABLES)
            conn.execute(
                "DELETE FROM idempotency WHERE at < %s", (clock() - timedelta(days=REPLAY_DAYS),)
            )

    def execute(self, command: Command, who: Who = Who(), version: int | None = None) -> Receipt:
        """Decide and record a command.

        Raises:
            Refusal: nothing was written.
        """
        with self._alone(who.key):
            if replayed := self.replayed(command, who):
                return replayed
            stamp = self._stamp(who)
            for attempt in range(ATTEMPTS_MAX):
                decision, beside = self._decide(command, stamp, who, version)
                try:
                    return self.ledger.record(*decision, beside=beside)
                except Overtaken:
                    self._give_up_or_again(decision, attempt, version)
        raise AssertionError  # The last attempt has raised.

    async def submit(self, command: Command, who: Who, version: int | None = None) -> Receipt:
        """As execute, for a caller in an event loop."""
        if who.key is None:
            return await self._submit(command, who, version)
        with self._alone(who.key):
            return self.replayed(command, who) or await self._submit(command, who, version)

    async def _submit(self, command: Command, who: Who, version: int | None) -> Receipt:
        stamp = self._stamp(who)
        loop = asyncio.get_running_loop()
        for attempt in range(ATTEMPTS_MAX):
            decision, beside = self._decide(command, stamp, who, version)
            answer: asyncio.Future[Receipt] = loop.create_future()
            self.ledger.submit(decision, self._later(loop, answer), beside)
            try:
                return await answer
            except Overtaken:
                self._give_up_or_again(decision, attempt, version)
        raise AssertionError

    @contextmanager
    def _alone(self, key: str | None) -> Iterator[None]:
        """One request of a key at a time: the second of two at once could not see the first."""
        if key is None:
            yield
            return
        with self._lock:
            if key in self._under_way:
                raise StillUnderWay(key=key)
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(key)

    def rehearse(self, command: Command, who: Who) -> Receipt | None:
        """Decide a command and record nothing (a dry run); its receipt if it is recorded already.

        Raises:
            Refusal: as execute would.
        """
        known = self.replayed(command, who)
        if known is None:
            self._decide(command, self._stamp(who), who, None)
        return known

    def _later(
        self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Receipt]
    ) -> Callable[[Receipt | Exception], None]:
        def then(outcome: Receipt | Exception) -> None:
            # One wake-up of the loop for a whole commit, not one a command.
            self._answers.append((answer, outcome))
            if len(self._answers) == 1:
                loop.call_soon_threadsafe(self._hand_out)

        return then

    def _hand_out(self) -> None:
        while self._answers:
            answer, outcome = self._answers[0]
            if not answer.done():
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result(outcome)
            self._answers.popleft()

    def _decide(
        self, command: Command, stamp: Stamp, who: Who, version: int | None
    ) -> tuple[Decision, tuple[Beside, ...]]:
        self.gate(command)
        token = current.set(stamp)
        try:
            decision = decide(command, self.ledger)
        finally:
            current.reset(token)
        first = decision[0]
        before = first.version - len(first.pending)
        if version is not None and version != before:
            raise Stale(id=first.id, expected=version, actual=before)
        if who.key is None:
            return decision, ()
        # What one command records is recorded in a row: so many facts follow the first's last.
        more = sum(len(aggregate.pending) for aggregate in decision[1:])
        row = (who.key, _digest(command), first.id, first.version, stamp.now, more)
        return decision, (Beside("idempotency", row),)

    def _stamp(self, who: Who) -> Stamp:
        if who.key:
            command = uuid5(NAMESPACE_URL, f"command:{who.key}")
        else:
            command = UUID(bytes=draw(16), version=4)
        return Stamp(
            author=_author(self.ledger.org, who.person, who.role, who.on_behalf_of, who.channel),
            now=self._clock(),
            correlation=who.correlation or command,
            command=command,
            source=who.source or _source(who.channel),
            causation=who.causation,
        )

    def replayed(self, command: Command, who: Who) -> Receipt | None:
        """The receipt of a command whose key was seen before.

        Raises:
            KeyReused: that key stood for another command.
        """
        if who.key is None:
            return None
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT i.digest, i.stream, i.version, e.notification_id + i.more"
                " FROM idempotency i JOIN stored_events e ON e.originator_id = i.stream"
                " AND e.originator_version = i.version WHERE i.key = %s",
                (who.key,),
                prepare=True,
            ).fetchone()
        if row is None:
            return None
        if row[0] != _digest(command):
            raise KeyReused(key=who.key)
        return Receipt(id=row[1], version=row[2], position=row[3])

    def _give_up_or_again(self, decision: Decision, attempt: int, version: int | None) -> None:
        first = decision[0]
        if first.version == 1 and self.ledger.find(Aggregate, first.id) is not None:
            raise AlreadyRecorded(id=first.id) from None
        if version is not None:
            raise Stale(id=first.id, expected=version) from None
        if attempt + 1 == ATTEMPTS_MAX:
            raise Overtaken(id=first.id) from None


@lru_cache(1024)
def _author(
    org: OrgCode, person: str, role: str, on_behalf_of: str | None, channel: Channel
) -> Author:
    return Author(org=org, person=person, role=role, on_behalf_of=on_behalf_of, channel=channel)


@lru_cache
def _source(channel: Channel) -> Source:
    return Source(kind=channel)


def _digest(command: Command) -> str:
    said = json.dumps(command.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(f"{type(command).__name__}\n{said}".encode()).hexdigest()


def because_of(fact: FactId, correlation: UUID) -> Who:
    """The node acting by itself because of a fact."""
    return replace(BY_ITSELF, causation=fact, correlation=correlation)
