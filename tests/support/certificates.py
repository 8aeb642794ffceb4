"""证书: an authority of a test's own, and what it issues to brokers and organizations."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
LOOPBACK = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


class Authority:
    """Issues certificates into a folder; `ca` is what to trust."""

    def __init__(self, folder: Path, common: str = "test-ca") -> None:
        self._folder, self._name = folder, _name(common)
        self._key = ec.generate_private_key(ec.SECP256R1())
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.pem"
        made = self._sign(self._name, self._key.public_key(), self._now + 30 * DAY, ca=True)
        self.ca.write_bytes(made.public_bytes(Encoding.PEM))

    def issue(self, common: str, days: int = 30) -> Path:
        """One file of key and certificate; with a negative number of days it is over already."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(_name(common), key.public_key(), self._now + days * DAY)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._folder / f"{common}{days}.pem"
        path.write_bytes(secret + made.public_bytes(Encoding.PEM))
        return path

    @property
    def _now(self) -> datetime:
        return datetime.now(UTC)

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime, *, ca: bool = False
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - 60 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(LOOPBACK, critical=False)
            .sign(self._key, hashes.SHA256())
        )
