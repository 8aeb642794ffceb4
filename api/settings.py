"""设置: what a node is told from outside, each with its name, bound and default."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from domain.organization import OrgKind
from domain.values import OrgCode, Text, Value

DATABASE_URL = "WAYSTATION_DATABASE_URL"


class Settings(Value):
    """A node's settings; kept as `node.json` in its folder."""

    code: OrgCode
    name: Text
    kind: OrgKind = "department"
    city: Text | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    kafka: str | None = None
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 25.0
    """How long a peer's pull may wait for news."""

    @property
    def address(self) -> str:
        """Where peers reach the node."""
        return f"http://{self.host}:{self.port}"

    @classmethod
    def load(cls, home: Path) -> Settings:
        """Read them from a node's folder."""
        return cls.model_validate_json((home / "node.json").read_bytes())

    def save(self, home: Path) -> None:
        """Keep them in a node's folder."""
        home.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2)
        (home / "node.json").write_text(text + "\n", encoding="utf-8")


def database_url() -> str | None:
    """A PostgreSQL of the operator's, instead of the one that comes with the node."""
    return os.environ.get(DATABASE_URL)
