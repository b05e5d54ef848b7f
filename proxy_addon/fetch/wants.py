"""What a reader of a fill still needs."""

from __future__ import annotations

from ..store.contract import PIECE


class Want:
    """One reader's stake: what it still needs. `pos` moves as it reads; `turn` tells when it was last served."""

    __slots__ = ("end", "pos", "turn")

    def __init__(self, pos: int, end: int) -> None:
        self.pos, self.end, self.turn = pos, end, 0

    @property
    def span(self) -> tuple[int, int]:
        """In pieces, half-open."""
        return self.pos // PIECE, -(-self.end // PIECE)
