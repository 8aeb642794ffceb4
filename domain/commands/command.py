"""命令: something somebody asks of a node; an unknown field is refused."""

from __future__ import annotations

from domain.values import Value


class Command(Value):
    """What somebody asks for."""
