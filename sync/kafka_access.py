"""Kafka 门禁: what a broker asks of who comes in, read from the files anew at every attempt."""

from __future__ import annotations

import os
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from sync.kafka_settings import KafkaSettings

PASSWORD = "WAYSTATION_KAFKA_PASSWORD"  # noqa: S105 - the name of a variable.

SECRET_BYTES = 4096
"""Of a file that holds a password."""


class Unusable(Exception):  # noqa: N818 - a state of the settings.
    """A setting, or the file that it names, cannot work; says which, and why."""

    def __init__(self, setting: str, because: str) -> None:
        super().__init__(f"kafka.{setting}: {because}")
        self.setting, self.because = f"kafka.{setting}", because


def options(settings: KafkaSettings) -> dict[str, Any]:
    """What kafka-python is given so that it may come in.

    Raises:
        Unusable: never with a secret in it.
    """
    _must_fit(settings)
    given: dict[str, Any] = {"security_protocol": settings.security}
    if settings.encrypted:
        given["ssl_context"] = _context(settings)
    if settings.with_password:
        given["sasl_mechanism"] = settings.sasl_mechanism
        given["sasl_plain_username"] = settings.username
        given["sasl_plain_password"] = _password(settings)
    return given


def suspect(settings: KafkaSettings, reason: str, now: datetime) -> str:
    """Which setting to look at where a broker hangs up: it seldom says why itself."""
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return "kafka.ca_file: 不信任对方的证书 the broker's certificate is not believed"
    words = []
    if settings.certificate_file is not None:
        until = _certificate(settings.certificate_file).not_valid_after_utc
        words.append(
            f"kafka.certificate_file: 证书已于 {until:%Y-%m-%d} 过期 it has expired"
            if until < now
            else "kafka.certificate_file: 对方可能不认 the broker may not accept its issuer"
        )
    if settings.with_password:
        words.append("kafka.username: 用户名或密码可能不对 or the password may be wrong")
    if not words:
        words.append("kafka.security: 对方可能要求加密或登录 the broker may ask for more")
    return "; ".join(words)


def _must_fit(settings: KafkaSettings) -> None:
    """Refuse what does not go together: nobody must believe himself safer than he is."""
    needs_tls = "只用于 SSL 或 SASL_SSL。It needs security SSL or SASL_SSL."
    needs_sasl = "只用于 SASL_SSL。It needs security SASL_SSL (or SASL_PLAINTEXT)."
    for name, fits, because in (
        ("ca_file", settings.encrypted, needs_tls),
        ("certificate_file", settings.encrypted, needs_tls),
        ("key_file", settings.certificate_file is not None, "It needs certificate_file. 缺证书。"),
        ("sasl_mechanism", settings.with_password, needs_sasl),
        ("username", settings.with_password, needs_sasl),
        ("password_file", settings.with_password, needs_sasl),
    ):
        if getattr(settings, name) is not None and not fits:
            raise Unusable(name, because)
    for name in ("sasl_mechanism", "username"):
        if settings.with_password and getattr(settings, name) is None:
            raise Unusable(name, f"{settings.security} 必填。It is required.")
    if settings.sasl_mechanism == "PLAIN" and not settings.encrypted:
        raise Unusable("security", "PLAIN 会明文传密码，须用 SASL_SSL。PLAIN needs SASL_SSL.")


def _context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is None:
        context.load_default_certs()
    else:
        _readable("ca_file", settings.ca_file)
        try:
            context.load_verify_locations(settings.ca_file)
        except ssl.SSLError as fault:
            raise Unusable("ca_file", f"{settings.ca_file}: no certificates ({fault})") from None
    if settings.certificate_file is not None:
        _identify(context, settings.certificate_file, settings.key_file)
    return context


def _identify(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    _certificate(certificate)
    if key is not None:
        _readable("key_file", key)

    def no_password() -> str:
        # Without this OpenSSL would ask on the terminal, and wait.
        raise Unusable("key_file", "私钥有口令。The key must have no password; protect the file.")

    try:
        context.load_cert_chain(certificate, key, no_password)
    except ssl.SSLError as fault:
        name = "key_file" if key else "certificate_file"
        because = f"{key or certificate}: no key, or not this certificate's ({fault.reason})"
        raise Unusable(name, f"私钥不符。{because}") from None


def _certificate(path: Path) -> Certificate:
    """The node's own certificate, the first of its file."""
    try:
        return load_pem_x509_certificates(_readable("certificate_file", path))[0]
    except ValueError:
        raise Unusable("certificate_file", f"{path}: 不是证书。No PEM certificate.") from None


def _password(settings: KafkaSettings) -> str:
    if settings.password_file is None:
        if given := os.environ.get(PASSWORD):
            return given
        raise Unusable("password_file", f"须填写，或设 {PASSWORD}。Name one, or set {PASSWORD}.")
    said = _readable("password_file", settings.password_file)[:SECRET_BYTES]
    try:
        text = said.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise Unusable("password_file", f"{settings.password_file}: 没有密码。It holds none.")
    return text


def _readable(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise Unusable(name, f"{path}: {fault.strerror}") from None
