"""Bytes out of the quarantine back into the cache, if they are right after all: a bit that fell over in memory, say.

What decides is the same as for bytes from a hub: a piece must have the digests that are on record, a whole blob the
digest that is its name. So nothing that is wrong can come back this way. Blocks.
"""

from __future__ import annotations

from ..core.digests import digest_for
from . import records
from .contract import PIECE, Manifest
from .index import Index
from .quarantine import Entry, Quarantine
from .verified import VerifiedPieces


def put_back(entry: Entry, quarantine: Quarantine, index: Index, pieces: VerifiedPieces) -> str:
    """Why not; empty when it is back, and no longer in the quarantine. Raises OSError."""
    if entry.kept != entry.size:
        return "not all of its bytes were kept"
    refused = (_piece if entry.piece is not None else _whole)(entry, quarantine, index, pieces)
    if not refused:
        quarantine.remove(entry.id)
    return refused


def _piece(entry: Entry, quarantine: Quarantine, index: Index, pieces: VerifiedPieces) -> str:
    manifest = index.manifest(entry.blob)
    for number, data in quarantine.bytes_of(entry):
        known = index.digests(entry.blob, number)
        if manifest is None or not manifest.sealed or known is None:
            return "the cache no longer knows the blob"
        if len(data) != manifest.piece_size(number) or records.unit_digests(data) != known:
            return "it is still not what was here before"
        pieces.write(entry.blob, number, data)
    return ""


def _whole(entry: Entry, quarantine: Quarantine, index: Index, pieces: VerifiedPieces) -> str:
    judged = digest_for(entry.blob, entry.size)
    if judged is None:
        return "its name tells no digest that could be checked"
    digest, expected = judged
    for _, data in quarantine.bytes_of(entry):
        digest.update(data)
    if digest.hexdigest() != expected:
        return "its digest is still not its name"
    made, _ = index.create(Manifest(entry.blob, entry.size, public=entry.public, source=entry.source))
    if not made.sealed:
        for number, data in quarantine.bytes_of(entry):
            if len(data) != min(PIECE, entry.size - number * PIECE):
                return "its pieces are not whole"
            pieces.write(entry.blob, number, data)
        index.seal(entry.blob, entry.public)
    return ""
