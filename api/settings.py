"""设置: what a node is told from outside, each with its name, bound and default."""

from __future__ import annotations

import json
import os
import tempfile
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from domain.errors import Invalid, Refusal
from domain.organization import OrgKind
from domain.pact import PACT_DAYS_MAX
from domain.suite import SUITES, SuiteName
from domain.values import OrgCode, Stated, Value
from sync import strict
from sync.address import wrong_with
from sync.errors import LaneFault
from sync.kafka_access import Unusable, options
from sync.kafka_settings import KafkaSettings

DATABASE_URL = "WAYSTATION_DATABASE_URL"


SUITE = "WAYSTATION_SUITE"
"""The suite of algorithms, where `node.json` names none."""

FILE = "node.json"

POLL_MAX_S = 55.0
"""The longest a peer lets a pull wait for news."""


KEEP_MIN_DAYS = 180
"""Security logs are kept for six months (网络安全法); the table itself lets nothing go before."""

SEARCHES_MAX = 10_000
"""What is looked for by a program comes by import, which says from which file."""

WITNESS_ALARM_MAX_S = 2_592_000
"""Lanes that travel as files are slow."""


PACT_NOTICE_MAX_DAYS = 366
"""Before a pact lapses; a longer notice would always be given."""


RESTORE_HOLD_MAX_S = 600
"""The longest a start may wait for peers."""


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


def _reachable(address: str) -> str:
    if because := wrong_with(address):
        raise ValueError(because)
    return address


class Settings(Value):
    """A node's settings; kept as `node.json` in its folder."""

    code: OrgCode
    name: Stated
    kind: OrgKind = "department"
    city: Stated | None = None
    host: Annotated[str, StringConstraints(pattern=r"^[^\s/@]+$", max_length=253)] = "127.0.0.1"
    advertise: Annotated[str, AfterValidator(_reachable)] | None = None
    """Where peers reach the node, if not at host and port: behind a proxy, or on all interfaces."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8700
    kafka: KafkaSettings | None = None
    """With it, lanes go over a broker instead of HTTP."""
    suite: SuiteName = Field(
        default_factory=lambda: cast("SuiteName", os.environ.get(SUITE, "international")),
        validate_default=True,
    )
    """算法组: with which a new ledger is begun; its peers must have the same."""
    access_days: Annotated[int, Field(ge=KEEP_MIN_DAYS, le=36_500)] = 1_095
    """How long it is kept who has read whose data."""
    searches_per_minute: Annotated[int, Field(ge=1, le=SEARCHES_MAX)] = 30
    """How often one account may look for somebody by a number or a telephone."""
    poll_seconds: Annotated[float, Field(gt=0, le=POLL_MAX_S)] = 25.0
    """How long a peer's pull may wait for news."""
    witness_alarm_seconds: Annotated[float, Field(gt=0, le=WITNESS_ALARM_MAX_S)] = 900.0
    """For how long a checkpoint may stand that no peer has witnessed, before it is an alarm."""

    restore_hold_seconds: Annotated[float, Field(ge=0, le=RESTORE_HOLD_MAX_S)] = 10.0
    """For how long a start waits for the peers' word before it signs anything new."""

    pact_days: Annotated[int, Field(ge=1, le=PACT_DAYS_MAX)] = 365
    """同步约定期限: for how long a pact runs where nobody says until when."""
    pact_notice_days: Annotated[int, Field(ge=0, le=PACT_NOTICE_MAX_DAYS)] = 30
    """How many days before it lapses that is an alarm."""

    @model_validator(mode="after")
    def _card_leads_somewhere(self) -> Settings:
        if because := wrong_with(self.address):
            raise ValueError(f"advertise: {because}")
        return self

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
        """Read them from a node's folder; paths in them may be relative to it.

        Raises:
            NoNode, BadSetting.
        """
        try:
            raw = (home / FILE).read_bytes().removeprefix(BOM_UTF8)
            said = cls.model_validate(strict.read(raw, FILE), strict=False)
        except FileNotFoundError:
            raise NoNode(home=str(home)) from None
        except OSError as fault:
            raise BadSetting(setting="--home", because=str(fault)) from None
        except LaneFault as fault:
            because = fault.facts["because"]
            raise BadSetting(setting=FILE, because=because, rule=_JSON) from None
        except ValidationError as fault:
            raise _bad(fault) from None
        return said.model_copy(update={"kafka": said.kafka and said.kafka.within(home)})

    def must_work(self) -> None:
        """Refuse what cannot work before anything is started.

        Raises:
            BadSetting: with the setting's name.
        """
        try:
            if self.kafka is not None:
                options(self.kafka)
        except Unusable as fault:
            raise BadSetting(setting=fault.setting, because=fault.because) from None

    def save(self, home: Path) -> None:
        """Keep them in a node's folder.

        Raises:
            BadSetting: the folder cannot be written to.
        """
        must_be_writable(home)
        text = json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2)
        (home / FILE).write_text(text + "\n", encoding="utf-8")


def must_be_writable(home: Path) -> None:
    """Refuse a folder in which a node could keep nothing, before anything is started.

    Raises:
        BadSetting.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=home).close()
        (home / "keys").mkdir(exist_ok=True, mode=0o700)
    except OSError as fault:
        raise BadSetting(setting="--home", because=str(fault)) from None


def suite_here() -> SuiteName:
    """The suite that the environment names, for what is computed outside a node.

    Raises:
        BadSetting.
    """
    named = os.environ.get(SUITE, "international")
    if named not in SUITES:
        raise BadSetting(setting=SUITE, because=named, rule=", ".join(SUITES))
    return cast("SuiteName", named)


_JSON = "JSON，UTF-8 编码，每个名称只写一次。JSON in UTF-8, each name once"

_RULES = {
    "code": "2 至 40 个小写字母、数字或连字符，字母开头。2 to 40 of a-z, 0-9 and -, a letter first",
    "name": "1 至 500 个字符，不能为空。1 to 500 characters",
    "kind": "department, committee, general_branch, branch, station",
    "city": "1 至 500 个字符；没有就不写。1 to 500 characters, or leave it out",
    "host": "本机的地址或主机名。An address or name of this machine",
    "advertise": "对方能连到的地址。Where peers reach the node: http://host:port",
    "port": "1 至 65535。From 1 to 65535",
    "access_days": "180 至 36500：安全日志至少留存六个月。180 to 36500, by law",
    "pact_days": "1 至 3660。From 1 to 3660",
    "pact_notice_days": "0 至 366。From 0 to 366",
    "searches_per_minute": "1 至 10000。From 1 to 10000",
    "poll_seconds": "大于 0，不超过 55。Above 0, at most 55",
    "kafka": '不用 Kafka 就不写；用则写 {"servers": ["主机:端口"]}。'
    'Left out without Kafka; else {"servers": ["host:port"]} and what it needs',
    "kafka.servers": "主机:端口的列表，1 至 16 个。A list of host:port, 1 to 16 of them",
    "kafka.security": "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
    "kafka.sasl_mechanism": "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN",
    "kafka.username": "1 至 255 个字符。1 to 255 characters",
    "kafka.topic": "含 {destination} 的主题名，如 sync.{destination}.{source}。"
    "A topic's name with {destination} in it",
    "kafka.replication_factor": "-1（由代理决定），或 1 至 32767。-1, or 1 to 32767",
    "kafka.retention_days": "1 至 366。From 1 to 366",
}


def _bad(fault: ValidationError) -> BadSetting:
    first = fault.errors()[0]
    named = ".".join(map(str, first["loc"]))
    because = first["msg"].removeprefix("Value error, ")
    if not named and because.startswith("advertise: "):
        named, because = "advertise", because.removeprefix("advertise: ")
    parts = named.split(".")
    if first["type"] == "extra_forbidden":
        fields = KafkaSettings.model_fields if len(parts) > 1 else Settings.model_fields
        return BadSetting(setting=named, because=because, known=sorted(fields))
    if rule := _RULES.get(".".join(parts[:2]), _RULES.get(parts[0])):
        return BadSetting(setting=named, because=because, rule=rule)
    return BadSetting(setting=named or FILE, because=because)


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
