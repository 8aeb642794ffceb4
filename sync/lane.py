"""通道进度: what was sent to one peer, what it has, and when to send it again."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from domain.values import OrgCode

WINDOW = 8
"""Batches under way that the peer has not answered; one, until it has answered the first."""

RESEND_FIRST_S, RESEND_MAX_S = 5.0, 30.0
"""Silence after which all unanswered is sent again, and to what the wait grows."""

HEARTBEAT_S = 15.0
"""Idle time after which the head is told again: silence is not the same as nothing to say."""

REWIND_S = 1.0
"""A peer's wishes to start over are followed this often: one loss causes many of them."""

TROUBLE_FIRST_S, TROUBLE_MAX_S = 0.25, 10.0

ANSWERS_MAX = 32
"""Answers waiting to be sent; the oldest go first, for each says all that was said before."""


class Backoff:
    """Waits that grow with every failure, bounded, with jitter."""

    def __init__(self, first: float, maximum: float) -> None:
        self._first, self._maximum = first, maximum
        self.failures, self.until = 0, -math.inf

    def fail(self, now: float) -> None:
        """Wait, and longer than the last time."""
        ceiling = min(self._maximum, self._first * 2.0 ** min(self.failures, 20))
        self.failures += 1
        self.until = now + ceiling * random.uniform(0.75, 1.0)  # noqa: S311 - jitter is no secret.

    def clear(self) -> None:
        """All is well."""
        self.failures, self.until = 0, -math.inf


@dataclass
class Lane:
    """One peer: go-back-N outward, answers to what came in; used by a sender and a receiver thread.

    `now` is monotonic time. Numbers are the lane's own; what is durable is in the relay's store.
    """

    peer: OrgCode
    confirmed: int = 0
    """What the peer last said it has recorded."""
    head: int = 0
    last_heard: datetime | None = None
    last_error: str | None = None
    answers: deque[tuple[bytes, bool]] = field(default_factory=deque)
    trouble: Backoff = field(default_factory=lambda: Backoff(TROUBLE_FIRST_S, TROUBLE_MAX_S))
    _silence: Backoff = field(default_factory=lambda: Backoff(RESEND_FIRST_S, RESEND_MAX_S))
    _under_way: deque[int] = field(default_factory=deque)
    _open: bool = False
    _heartbeat_at: float = -math.inf
    _rewound_at: float = -math.inf
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.cursor = self.confirmed

    # The sender's side.

    def may_send(self, now: float) -> bool:
        """Whether the next batch may go out, or a heartbeat is due."""
        with self._lock:
            if now < self.trouble.until:
                return False
            if self.cursor < self.head:
                return len(self._under_way) < (WINDOW if self._open else 1)
            return now >= self._heartbeat_at

    def sent(self, after: int, last: int, now: float) -> None:
        """A batch went out; one that a rewind has overtaken meanwhile counts for nothing."""
        with self._lock:
            self._heartbeat_at = now + HEARTBEAT_S
            if last == after or self.cursor != after:
                return
            self.cursor = last
            if not self._under_way:
                self._silence.fail(now)
            self._under_way.append(last)

    def overdue(self, now: float) -> bool:
        """Whether the peer kept silent for too long; if so, all it did not confirm goes again."""
        with self._lock:
            if not self._under_way or now < self._silence.until:
                return False
            self._rewind(self.confirmed)
            return True

    def reset(self) -> None:
        """An operator wants it tried now: nothing is waited for, and failures count anew."""
        with self._lock:
            self.trouble.clear()
            self._silence.clear()
            self._heartbeat_at = self._rewound_at = -math.inf
            self._rewind(self.confirmed)

    def delivered(self) -> None:
        """The broker has what was sent."""
        self.trouble.clear()

    def failed(self, why: str, now: float) -> None:
        """A message could not be sent: later ones may have arrived without it."""
        with self._lock:
            self.last_error = why
            self.trouble.fail(now)
            self._silence.clear()
            self._rewind(self.confirmed)

    def due(self, now: float) -> float:
        """Seconds until there may be something to do for this peer without news."""
        with self._lock:
            if now < self.trouble.until:
                return self.trouble.until - now
            moments = [self._heartbeat_at if self.cursor >= self.head else math.inf]
            if self._under_way:
                moments.append(self._silence.until)
            return max(0.0, min(moments) - now)

    # The receiver's side.

    def entered(self) -> None:
        """Answers are read from now on; those to what went before may have been missed."""
        with self._lock:
            self._silence.clear()
            self._heartbeat_at = -math.inf
            self._rewind(self.confirmed)

    def receipt(self, number: int, now: float) -> None:
        """The peer has recorded up to a number; an older receipt, overtaken, changes nothing."""
        with self._lock:
            if number <= self.confirmed:
                return
            self.confirmed, self._open = number, True
            self.cursor = max(self.cursor, number)
            while self._under_way and self._under_way[0] <= number:
                self._under_way.popleft()
            self._silence.clear()
            if self._under_way:
                self._silence.fail(now)

    def want(self, after: int, now: float) -> None:
        """The peer asks for what follows a number, which may lie before what it once confirmed."""
        with self._lock:
            if now < self._rewound_at + REWIND_S:
                return  # The batches behind a lost one each cause a want; the timer is behind all.
            self._rewound_at = now
            self.confirmed = after
            self._silence.clear()
            self._rewind(after)

    def answer(self, wire: bytes, *, plain: bool) -> None:
        """Queue an answer; of plain receipts in a row only the newest, as it says it all."""
        with self._lock:
            if plain and self.answers and self.answers[-1][1]:
                self.answers.pop()
            self.answers.append((wire, plain))
            while len(self.answers) > ANSWERS_MAX:
                self.answers.popleft()

    def next_answer(self, now: float) -> bytes | None:
        """The next answer to send."""
        with self._lock:
            if now < self.trouble.until or not self.answers:
                return None
            return self.answers.popleft()[0]

    def _rewind(self, number: int) -> None:
        self.cursor = number
        self._under_way.clear()
        self._open = False
