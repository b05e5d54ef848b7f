"""What a target is, and how an input for one is made out of others.

A target is a callable that takes any bytes and returns, or raises if what was promised of a parser does not hold. It
knows nothing of who makes the bytes: hypothesis draws them, atheris grows them. Most bytes are refused by the first
line of a parser, so that both begin with `seeds`, real samples; and hypothesis draws sound inputs from `drawn`, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

MOST = 64 * 1024  # bytes that a mutation may grow to


@dataclass(frozen=True)
class Target:
    """`words`: what a mutation puts in, besides bytes of no meaning."""

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    drawn: st.SearchStrategy[bytes] | None = None
    words: tuple[bytes, ...] = ()

    @property
    def inputs(self) -> st.SearchStrategy[bytes]:
        sound = [st.sampled_from(self.seeds), *([self.drawn] if self.drawn is not None else [])]
        return st.one_of(*([self.drawn] if self.drawn is not None else [st.binary(max_size=300)]), *(
            mutated(each, self.words) for each in sound
        ))  # fmt: skip


_ODD = (0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)


@st.composite
def mutated(draw: st.DrawFn, sound: st.SearchStrategy[bytes], words: tuple[bytes, ...]) -> bytes:
    """Bytes flipped, cut, repeated, moved, put in; a number where a length may have been."""
    data = bytearray(draw(sound))
    for _ in range(draw(st.integers(1, 4))):
        how = draw(st.integers(0, 7))
        start = draw(st.integers(0, len(data)))
        some = draw(st.integers(0, min(64, len(data) - start)))
        if how == 0:
            data[start : start + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how == 1:
            del data[start:]
        elif how == 2:
            del data[start : start + some]
        elif how == 3:
            data[start:start] = bytes(data[start : start + some]) * draw(st.sampled_from((1, 2, 3, 50)))
        elif how == 4:
            number, width = draw(st.sampled_from(_ODD)), draw(st.sampled_from((1, 2, 4, 8)))
            order = "little" if draw(st.booleans()) else "big"
            data[start : start + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, order)  # type: ignore[arg-type]
        elif how == 5 and words:
            data[start:start] = draw(st.sampled_from(words))
        elif how == 6:
            part = bytes(data[start : start + some])
            del data[start : start + some]
            at = draw(st.integers(0, len(data)))
            data[at:at] = part
        else:
            data[start : start + some] = draw(st.binary(max_size=12))
        del data[MOST:]
    return bytes(data)


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 65), st.floats(), st.text(max_size=12),
    st.sampled_from(["1a2b3c4d5e6f" + "0" * 28, "ab" * 32, "../x", "a/b", "mit", "", "\ud800", "\x00",
    "refs/heads/..", "9" * 400, "2025-10-01",
    "0001-01-01T00:00:00+23:59"]),
)  # fmt: skip


def keys_of(sample: Any) -> set[str]:
    if isinstance(sample, dict):
        return set(sample) | {key for each in sample.values() for key in keys_of(each)}
    return {key for each in sample for key in keys_of(each)} if isinstance(sample, list) else set()


@st.composite
def changed_json(draw: st.DrawFn, samples: tuple[Any, ...]) -> bytes:
    """A sample with some of its values taken out, or something else in their place."""
    names = st.sampled_from(sorted(keys_of(list(samples))) or ["x"])
    other = st.recursive(
        _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=8
    )

    def visited(node: Any) -> Any:
        change = draw(st.integers(0, 11))
        if change == 0:
            return draw(other)
        if isinstance(node, dict):
            return {key: visited(each) for key, each in node.items() if draw(st.integers(0, 14))}
        return (
            [visited(each) for each in node] * draw(st.sampled_from((1, 1, 1, 2))) if isinstance(node, list) else node
        )

    return json.dumps(visited(draw(st.sampled_from(samples)))).encode()


def joined(*parts: st.SearchStrategy[bytes], by: bytes = b"") -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(by.join)


def row(words: tuple[bytes, ...], most: int = 12, by: bytes = b"") -> st.SearchStrategy[bytes]:
    """Words, one after the other."""
    return st.lists(st.sampled_from(words), max_size=most).map(by.join)


def text_of(data: bytes) -> str:
    """Every text that bytes can be, broken ones with lone surrogates among them."""
    return data.decode("utf-8", "surrogateescape")


def octets(data: bytes) -> str:
    """As header fields come."""
    return data.decode("latin-1")
