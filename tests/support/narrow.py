"""旧版本: a node whose rules refuse what its peer may say, as one of another version would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync import authority
from sync.errors import NotTheirTopic


@contextmanager
def refusing(*topics: str) -> Iterator[None]:
    """Every inbox refuses facts of these topics."""
    as_ever = authority.check

    def check(fact: Any, view: Any) -> None:
        if fact.TOPIC in topics:
            raise NotTheirTopic(topic=fact.TOPIC)
        as_ever(fact, view)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authority, "check", check)
        yield
