"""重试: how the lane from one peer is doing, and how long it waits after a failure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.values import OrgCode

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 60.0


@dataclass
class PullState:
    """Shown to people as it is; kept in memory, so a node that starts tries everybody at once."""

    peer: OrgCode
    failures: int = 0
    last_error: str | None = None
    last_heard: datetime | None = None
    failing_since: datetime | None = None
    retry_in_s: float = 0.0
    retry_at: datetime | None = None

    def well(self) -> None:
        """It works, or shall be tried as if it did."""
        self.failures, self.last_error, self.failing_since = 0, None, None
        self.retry_in_s, self.retry_at = 0.0, None

    def failed(self, fault: Exception, now: datetime) -> float:
        """Count a failure; seconds to wait."""
        self.failures += 1
        self.last_error = f"{type(fault).__name__}: {fault}"
        self.failing_since = self.failing_since or now
        self.retry_in_s = backoff(self.failures)
        self.retry_at = now + timedelta(seconds=self.retry_in_s)
        return self.retry_in_s


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures: exponential with jitter, bounded."""
    ceiling: float = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 10))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret.
