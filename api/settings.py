"""设置: what a node is told from outside, each with its name, bound and default."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from domain.errors import Invalid, Refusal
from domain.organization import OrgKind
from domain.values import OrgCode, Text, Value

DATABASE_URL = "WAYSTATION_DATABASE_URL"


FILE = "node.json"

POLL_MAX_S = 55.0
"""The longest a peer lets a pull wait for news."""


class BadSetting(Invalid):
    """设置不正确，节点不能启动。A setting cannot work, and the node does not start."""

    mend = "请按所指的名称改正。Mend the setting of that name."


class NoNode(Refusal):
    """这个文件夹里没有节点。There is no node in this folder."""

    kind = "missing"
    mend = "请先建立：waystation init。Make one first: waystation init."


class NodeThere(Refusal):
    """这个文件夹里已有节点。There is a node in this folder already."""

    mend = "请另选文件夹。Choose another folder."


class Settings(Value):
    """A node's settings; kept as `node.json` in its folder."""

    code: OrgCode
    name: Text
    kind: OrgKind = "department"
    city: Text | None = None
    host: str = "127.0.0.1"
    advertise: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")] | None = None
    """Where peers reach the node, if not at host and port: behind a proxy, or on all interfaces."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8700
    kafka: Annotated[str, StringConstraints(pattern=r"^[^\s/]+:\d{1,5}$")] | None = None
    poll_seconds: Annotated[float, Field(gt=0, le=POLL_MAX_S)] = 25.0
    """How long a peer's pull may wait for news."""

    @property
    def address(self) -> str:
        """Where peers reach the node."""
        return self.advertise or f"http://{self.host}:{self.port}"

    @classmethod
    def of(cls, said: dict[str, Any]) -> Settings:
        """Settings from their names and values.

        Raises:
            BadSetting: with the name of the first that cannot work.
        """
        try:
            return cls.model_validate(said)
        except ValidationError as fault:
            raise _bad(fault) from None

    @classmethod
    def load(cls, home: Path) -> Settings:
        """Read them from a node's folder.

        Raises:
            NoNode, BadSetting.
        """
        try:
            return cls.model_validate_json((home / FILE).read_bytes())
        except FileNotFoundError:
            raise NoNode(home=str(home)) from None
        except ValidationError as fault:
            raise _bad(fault) from None

    def save(self, home: Path) -> None:
        """Keep them in a node's folder."""
        home.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2)
        (home / FILE).write_text(text + "\n", encoding="utf-8")


def _bad(fault: ValidationError) -> BadSetting:
    first = fault.errors()[0]
    named = ".".join(map(str, first["loc"])) or FILE
    return BadSetting(setting=named, because=first["msg"])


def database_url() -> str | None:
    """A PostgreSQL of the operator's, instead of the one that comes with the node.

    Raises:
        BadSetting: it is no address of a PostgreSQL.
    """
    url = os.environ.get(DATABASE_URL)
    if url is not None and not url.startswith(("postgresql://", "postgres://")):
        # The value is not repeated: there may be a password in it.
        raise BadSetting(setting=DATABASE_URL, because="postgresql://USER:PASSWORD@HOST/DATABASE")
    return url
