"""严格的中转: a broker that asks who comes, over TLS, and lets nobody do what is not granted."""

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
    UserScramCredentialUpsertion,
)

from sync.kafka_settings import KafkaSettings
from tests.support.broker import Broker, free_ports
from tests.support.certificates import Authority

PASSWORD = "right-and-long"

PROPERTIES = """
listeners=P://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
S://127.0.0.1:{scram},M://127.0.0.1:{mutual}
advertised.listeners=P://127.0.0.1:{plain},S://127.0.0.1:{scram},M://127.0.0.1:{mutual}
listener.security.protocol.map=P:PLAINTEXT,CONTROLLER:PLAINTEXT,S:SASL_SSL,M:SSL
inter.broker.listener.name=P
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.m.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([a-z0-9-]+)$/$1/,DEFAULT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.s.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
"""
"""Written below the ordinary ones: of two lines for one setting Kafka takes the last."""


class StrictBroker(Broker):
    """Whoever comes by the plain listener is the operator; the others are for organizations."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.authority = Authority(folder / "certificates")
        self._scram, self._mutual = free_ports(2)

    def by_password(self, user: str, file: Path, **more: Any) -> KafkaSettings:
        """What a node is told that gives a name and a password."""
        return KafkaSettings(
            servers=(f"127.0.0.1:{self._scram}",),
            security="SASL_SSL",
            ca_file=self.authority.ca,
            sasl_mechanism="SCRAM-SHA-512",
            username=user,
            password_file=file,
            **more,
        )

    def by_certificate(self, certificate: Path, **more: Any) -> KafkaSettings:
        """What a node is told that shows a certificate."""
        return KafkaSettings(
            servers=(f"127.0.0.1:{self._mutual}",),
            security="SSL",
            ca_file=self.authority.ca,
            certificate_file=certificate,
            **more,
        )

    def let_in(self, *users: str) -> None:
        """Give each the password."""
        wanted = [UserScramCredentialUpsertion(u, "SCRAM-SHA-512", PASSWORD, 4096) for u in users]
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.alter_user_scram_credentials(wanted)

    def allow(
        self, user: str, operation: ACLOperation, topic: str, *, prefix: bool = False
    ) -> None:
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            made: Any = admin.create_acls([_rule(user, operation, topic, prefix=prefix)])
            assert not made["failed"], made

    def _configuration(self) -> str:
        return super()._configuration() + PROPERTIES.format(
            plain=self._broker,
            controller=self._controller,
            scram=self._scram,
            mutual=self._mutual,
            keystore=self.authority.issue("broker"),
            truststore=self.authority.ca,
        )


def _rule(user: str, operation: ACLOperation, topic: str, *, prefix: bool) -> ACL:
    pattern = ACLResourcePatternType.PREFIXED if prefix else ACLResourcePatternType.LITERAL
    resource = ResourcePattern(ResourceType.TOPIC, topic, pattern)
    return ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, resource)


@contextmanager
def strict_broker() -> Iterator[StrictBroker]:
    """Run one in a temporary folder."""
    with (
        TemporaryDirectory(prefix="waystation-kafka-") as folder,
        StrictBroker(Path(folder)) as broker,
    ):
        yield broker
