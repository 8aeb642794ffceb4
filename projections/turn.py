"""轮到谁: whose turn an open step waits for, until when, and what happens by itself otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Self


class Turn(NamedTuple):
    """Whose turn it is, and which clock runs: a parameter of the origin's policy, if any.

    From `warn` on it is urgent; `otherwise` is what happens by itself when the time has run out.
    """

    whose: str
    since: datetime
    until: datetime | None
    clock: str | None
    action: str
    otherwise: str
    warn: datetime | None = None

    @classmethod
    def of_node(cls, whose: str, since: datetime, action: str) -> Self:
        """What a node does without anybody, as soon as it has heard."""
        return cls(whose, since, None, None, action, "自动 by itself")

    def urgency(self, now: datetime) -> str | None:
        """How its clock stands: 正常, 临期, 超期; None without a clock."""
        if self.until is None:
            return None
        if now >= self.until:
            return "超期"
        return "临期" if self.warn and now >= self.warn else "正常"
