"""升级: how a fact stored by an older version is read as today's; the stored bytes never change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""From the decoded state of one schema version to the next.

Sealed values are passed through under their old names, to which they are bound; the meta keeps the
version it was recorded with.
"""

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""By topic and the version to start from. Empty until 1.0 has been superseded once."""
