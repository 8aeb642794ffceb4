"""检索限额: how often an account, and everybody together, may look for somebody by a number."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from threading import Lock

from domain.errors import Refusal

WINDOW_S = 60.0
"""Over which searches are counted."""

ACCOUNTS_MAX = 10
"""How many accounts' worth of searches the whole node answers: an account is what a header says."""


class TooManySearches(Refusal):
    """检索过于频繁。There were too many searches by number within a minute."""

    kind = "busy"
    mend = (
        "请稍候再查；每次检索均有登记。确需批量核对的，请用导入。"
        "Wait; each search is recorded. To check many at once, use an import."
    )


class Searches:
    """The searches of the last minute; those that were refused do not count."""

    def __init__(self, each: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._all, self._clock = each, each * ACCOUNTS_MAX, clock
        self._recent: deque[tuple[float, str]] = deque()
        self._lock = Lock()

    def begin(self, account: str) -> None:
        """Count a search, before anything is looked for.

        Raises:
            TooManySearches: with the limit, and how long to wait.
        """
        with self._lock:
            now = self._clock()
            while self._recent and self._recent[0][0] <= now - WINDOW_S:
                self._recent.popleft()
            theirs = [at for at, who in self._recent if who == account]
            for since, limit in ((theirs, self._each), ([at for at, _ in self._recent], self._all)):
                if len(since) >= limit:
                    wait = math.ceil(since[0] + WINDOW_S - now)
                    raise TooManySearches(maximum=limit, seconds=WINDOW_S, retry_after=wait)
            self._recent.append((now, account))
