"""地址: where a node can be reached: a plain address of http or https, with nothing beside it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[\w.:-]{1,253}")


def wrong_with(address: str) -> str | None:
    """Why it is no address for a node, in both languages; None if it is one."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "不是网址。It is no address: http://host:port"
    rules = (
        (
            parts.scheme not in {"http", "https"} or not host,
            "应为 http://主机:端口。It must be http://host:port or https://host",
        ),
        (
            "@" in parts.netloc,
            "地址中不能有用户名或密码。A name or password has no place in it",
        ),
        (
            address != f"{parts.scheme}://{parts.netloc}",
            "主机和端口之后不能有路径。Nothing may follow host and port",
        ),
        (
            port == 0 or not _HOST.fullmatch(host),
            "主机或端口不正确。Its host or port is not valid",
        ),
        (
            _is_nowhere(host),
            "没有人能连到这个地址。Nobody can reach this address; say where they can",
        ),
    )
    return next((because for wrong, because in rules if wrong), None)


def _is_nowhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
