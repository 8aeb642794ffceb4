"""不成立: how an invariant says that it does not hold."""

from __future__ import annotations


class Broken(AssertionError):  # noqa: N818 - what is the case.
    """What must hold does not."""


def must(holds: object, sentence: str, **facts: object) -> None:
    """Raise unless it holds."""
    if not holds:
        raise Broken(f"{sentence} {facts}")
