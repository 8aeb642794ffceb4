"""严格的中转: a broker that asks for passwords and lets nobody do what is not granted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from tests.support.broker import Broker, free_ports

PASSWORD = "right"

LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"

PROPERTIES = """
listeners=P://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},S://127.0.0.1:{sasl}
advertised.listeners=P://127.0.0.1:{plain},S://127.0.0.1:{sasl}
listener.security.protocol.map=P:PLAINTEXT,CONTROLLER:PLAINTEXT,S:SASL_PLAINTEXT
inter.broker.listener.name=P
sasl.enabled.mechanisms=PLAIN
listener.name.s.plain.sasl.jaas.config={login} {users};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
"""
"""Written below the ordinary ones: of two lines for one setting Kafka takes the last."""


class StrictBroker(Broker):
    """Whoever comes without a password is the operator; `door` is for everybody else."""

    def __init__(self, folder: Path, *users: str) -> None:
        super().__init__(folder)
        self._users = users
        (self._sasl,) = free_ports(1)

    @property
    def door(self) -> str:
        return f"127.0.0.1:{self._sasl}"

    def allow(
        self, user: str, operation: ACLOperation, topic: str, *, prefix: bool = False
    ) -> None:
        pattern = ACLResourcePatternType.PREFIXED if prefix else ACLResourcePatternType.LITERAL
        resource = ResourcePattern(ResourceType.TOPIC, topic, pattern)
        rule = ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, resource)
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            made: Any = admin.create_acls([rule])
            assert not made["failed"], made

    def _format(self) -> None:
        super()._format()
        users = " ".join(f'user_{user}="{PASSWORD}"' for user in self._users)
        more = PROPERTIES.format(
            plain=self._broker,
            controller=self._controller,
            sasl=self._sasl,
            login=LOGIN,
            users=users,
        )
        with self._properties.open("a") as file:
            file.write(more)


def password(user: str, said: str = PASSWORD) -> dict[str, str]:
    """What a node is told so that it may come in."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": user,
        "sasl_plain_password": said,
    }


@contextmanager
def strict_broker(*users: str) -> Iterator[StrictBroker]:
    """Run one in a temporary folder."""
    with (
        TemporaryDirectory(prefix="waystation-kafka-") as folder,
        StrictBroker(Path(folder), *users) as broker,
    ):
        yield broker
