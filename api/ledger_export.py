"""台账导出: the whole ledger as one file, streamed, for whoever audits it without us."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256

from domain import suite
from domain.tiles import HEIGHT, WIDTH, TileName
from sync.checkpoint import Checkpoint
from sync.keys import NodeKeys, b64
from sync.log import Log
from sync.note import Note
from sync.verifier.defect import write_json
from sync.verifier.ledger import FORMAT, signed_text


def export(log: Log, keys: NodeKeys, head: int, now: datetime) -> Iterator[bytes]:
    """Piece by piece; one tile with its entries is held at a time.

    `head` is the position that must be in it.

    Raises:
        NotFound: nothing is recorded.
        LedgerDamaged: a part that should be there is not.
    """
    # Taken before the checkpoint, whose entries then tell of its change; and the one in use alone:
    # one that was revoked signs beside it until the peers have heard, and counts for nothing here.
    signer = keys.signers[0]
    newest = log.checkpoint(head)
    said = Checkpoint.read(Note.read(newest.note).text)
    hashed = sha256()
    for piece in _pieces(log, said, now):
        hashed.update(piece)
        yield piece
    text = signed_text(hashed.hexdigest())
    yield write_json({"signatures": {signer.verify_key: b64(signer.sign(text))}})


def _pieces(log: Log, said: Checkpoint, now: datetime) -> Iterator[bytes]:
    by, size = said.origin.partition("/")[0], said.size
    yield write_json(
        {
            "format": FORMAT,
            "suite": suite.chosen().name,
            "by": by,
            "origin": said.origin,
            "size": size,
            "made_at": now.isoformat(),
        }
    )
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        body = log.tile(TileName(0, number), width) + log.entries(number, width)
        yield write_json({"tile": number, "bytes": len(body)})
        yield body
    level = 1
    while size >> HEIGHT * (level + 1):
        for number in range(size >> HEIGHT * (level + 1)):
            hashes = b64encode(log.tile(TileName(level, number))).decode()
            yield write_json({"level": level, "number": number, "hashes": hashes})
        level += 1
    for note in log.signed_up_to(size):
        yield write_json({"checkpoint": note.decode()})
