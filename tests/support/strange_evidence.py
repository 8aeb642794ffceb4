"""陌生人: evidence verified by docs/reference/evidence.md alone; nothing of ours is imported."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from nacl.signing import VerifyKey


def _sm3(data: bytes) -> bytes:
    made = hashes.Hash(hashes.SM3())
    made.update(data)
    return made.finalize()


HASHES = {"international": lambda data: sha256(data).digest(), "guomi": _sm3}


class Tree:
    """Subtrees that follow one another; the last two become one when they are of one size."""

    def __init__(self, suite: str) -> None:
        self.hash, self.held = HASHES[suite], list[tuple[int, bytes]]()

    def add(self, size: int, root: bytes) -> None:
        while self.held and self.held[-1][0] == size:
            root, size = self.hash(b"\x01" + self.held.pop()[1] + root), 2 * size
        self.held.append((size, root))

    def root(self) -> bytes:
        *before, made = (root for _, root in self.held)
        for left in reversed(before):
            made = self.hash(b"\x01" + left + made)
        return made


def _checkpoint(note: str, key: str) -> tuple[int, bytes]:
    text, _, signatures = note.rpartition("\n\n")
    origin, size, root = text.split("\n")[:3]
    mine = sha256(origin.encode() + b"\n\x01" + b64decode(key)).digest()[:4]
    raw = [b64decode(line.split(" ")[2]) for line in signatures.splitlines()]
    (signature,) = (each[4:] for each in raw if each[:4] == mine)
    VerifyKey(b64decode(key)).verify(f"{text}\n".encode(), signature)
    return int(size), b64decode(root)


def _bears(meta: dict[str, Any], topic: str, question: dict[str, str]) -> bool:
    cause = meta.get("causation") or {}
    has = {
        "subject": meta.get("subject"),
        "person": meta["author"]["person"],
        "org": meta["keeper"],
        "source": meta.get("source", {}).get("digest"),
        "correlation": meta.get("correlation"),
        "causation": f"{cause.get('stream')}/{cause.get('version')}",
    }
    day = meta["occurred"]["on"][:10]
    return all(
        topic.startswith(wanted)
        if mark == "topic"
        else day >= wanted
        if mark == "from_day"
        else day <= wanted
        if mark == "to_day"
        else has[mark] == wanted
        for mark, wanted in question.items()
    )


def verify(file: bytes, key: str) -> int:
    """How many rows it has, all of them, by the one key that its organization ever had."""
    *lines, last = file.splitlines(keepends=True)
    head, *rest = (json.loads(line) for line in lines)
    text = f"waystation/evidence/v1\n{sha256(b''.join(lines)).hexdigest()}\n".encode()
    VerifyKey(b64decode(key)).verify(text, b64decode(json.loads(last)["signatures"][key]))
    size, root = _checkpoint(head["checkpoint"], key)
    tree, position = Tree(head["suite"]), head["after"]
    left, right = (list(map(b64decode, head[name])) for name in ("left", "right"))
    for bit in reversed(range(head["after"].bit_length())):
        if head["after"] >> bit & 1:
            tree.add(1 << bit, left.pop(0))
    rows = 0
    for said in rest:
        if "hash" not in said:
            continue
        entry = said.get("row") or said["passed"]
        topic, state = entry["topic"].encode(), entry["state"].encode()
        leaf = UUID(entry["stream"]).bytes + entry["version"].to_bytes(8, "big")
        leaf += len(topic).to_bytes(2, "big") + topic + state
        hashed = tree.hash(b"\x00" + leaf)
        position += 1
        assert (entry["position"], hashed) == (position, b64decode(said["hash"]))
        meta = json.loads(state)["meta"]
        assert _bears(meta, entry["topic"], head["question"]) == ("row" in said)
        rows += "row" in said
        tree.add(1, hashed)
    assert position == head["upto"] <= size
    at = position
    while at < size:
        wide = next(w for n in range(64, -1, -1) if at % (w := 1 << n) == 0 and at + w <= size)
        tree.add(wide, right.pop(0))
        at += wide
    assert not left
    assert not right
    assert tree.root() == root
    return rows
