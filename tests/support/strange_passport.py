"""陌生人: a passport verified by docs/reference/passport.md alone; nothing of ours is imported."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64decode
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from nacl.signing import VerifyKey

_suites = {"hash": "international"}
_SEALS = {"international": "A256GCM-HS256", "guomi": "SM4GCM-HSM3"}


class Seen(NamedTuple):
    """What a file has proved."""

    facts: int
    shown: dict[tuple[str, int, str], str]
    hidden: set[str]


def _hash(data: bytes) -> bytes:
    if _suites["hash"] == "international":
        return sha256(data).digest()
    sm3 = hashes.Hash(hashes.SM3())
    sm3.update(data)
    return sm3.finalize()


def _root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    if size == 1:
        assert not path
        return leaf
    half = 1 << (size - 1).bit_length() - 1
    rest, last = path[:-1], path[-1]
    if index < half:
        return _hash(b"\x01" + _root(leaf, index, half, rest) + last)
    return _hash(b"\x01" + last + _root(leaf, index - half, size - half, rest))


def _ledger(note: str, by: str, keys: list[str]) -> tuple[int, bytes]:
    text, _, signatures = note.rpartition("\n\n")
    origin, size, root = text.split("\n")[:3]
    assert origin.split("/")[:2] == [by, "ledger"]
    good = 0
    for line in signatures.splitlines():
        _, name, coded = line.split(" ")
        raw = b64decode(coded)
        for key in keys:
            told = origin.encode() + b"\n\x01" + b64decode(key)
            if (name, raw[:4]) == (origin, sha256(told).digest()[:4]):
                VerifyKey(b64decode(key)).verify(f"{text}\n".encode(), raw[4:])
                good += 1
    assert good
    return int(size), b64decode(root)


def _facts(rows: list[dict[str, Any]], size: int, root: bytes) -> dict[str, int]:
    ends: dict[str, int] = {}
    before = -1
    for row in rows:
        topic, state = row["topic"].encode(), row["state"].encode()
        data = UUID(row["stream"]).bytes + row["version"].to_bytes(8, "big")
        data += len(topic).to_bytes(2, "big") + topic + state
        path = [b64decode(each) for each in row["proof"]]
        assert before < row["index"] < size
        assert _root(_hash(b"\x00" + data), row["index"], size, path) == root
        meta = json.loads(state)["meta"]
        assert meta["author"]["org"] == meta["keeper"]
        assert row["version"] == ends.get(row["stream"], 0) + 1
        ends[row["stream"]], before = row["version"], row["index"]
    return ends


def _is_sealed(value: Any) -> bool:
    return isinstance(value, str) and value.split(".")[0] == _SEALS[_suites["hash"]]


def _plain(row: dict[str, Any], field: str, secret: bytes) -> str:
    said = json.loads(row["state"])
    name, key, *coded = said[field].split(".")
    nonce, commitment, box = (urlsafe_b64decode(each + "==") for each in coded)
    assert _hash(b"waystation/commit/v1" + secret) == commitment
    meta = said["meta"]
    place = (
        *("waystation/sealed/v1", name, meta["keeper"], row["stream"], row["version"]),
        *(row["topic"], meta.get("schema_version", 1), field, UUID(key)),
    )
    block: Any = algorithms.AES(secret)
    if _suites["hash"] == "guomi":
        block = algorithms.SM4(_hash(b"waystation/sm4/v1" + secret)[:16])
    opening = Cipher(block, modes.GCM(nonce, box[-16:])).decryptor()
    opening.authenticate_additional_data("\n".join(map(str, place)).encode())
    try:
        return (opening.update(box[:-16]) + opening.finalize()).decode()
    except InvalidTag as fault:
        raise AssertionError from fault


def _fields(head: dict[str, Any], rows: list[dict[str, Any]]) -> dict[tuple[str, int, str], str]:
    facts = {(row["stream"], row["version"]): row for row in rows if "state" in row}
    shown = {}
    for row in rows:
        if "field" in row:
            place = row["stream"], row["version"], row["field"]
            assert place not in shown
            assert row["field"] not in head["hidden"]
            shown[place] = _plain(facts[place[:2]], row["field"], b64decode(row["secret"]))
    sealed = {
        name
        for row in facts.values()
        for name, value in json.loads(row["state"]).items()
        if _is_sealed(value)
    }
    assert set(head["hidden"]) <= sealed
    return shown


def verify(file: bytes, keys: dict[str, str]) -> Seen:
    """What is proved, by one known key an organization; no key has changed."""
    seen, body, rows = Seen(0, {}, set()), b"", []
    for line in file.splitlines(keepends=True):
        said = json.loads(line)
        if "signatures" not in said:
            body += line
            rows.append(said)
            continue
        _suites["hash"] = rows[0]["suite"]
        head, key = rows[0], keys[rows[0]["by"]]
        text = f"waystation/passport/v1\n{sha256(body).hexdigest()}\n".encode()
        try:
            VerifyKey(b64decode(key)).verify(text, b64decode(said["signatures"][key]))
        except Exception as fault:
            raise AssertionError from fault
        facts = [row for row in rows[1:] if "state" in row]
        size, root = _ledger(head["checkpoint"], head["by"], [key])
        assert _facts(facts, size, root) == head["streams"]
        shown = seen.shown | _fields(head, rows[1:])
        seen = Seen(seen.facts + len(facts), shown, seen.hidden | set(head["hidden"]))
        body, rows = b"", []
    assert not rows
    return seen
