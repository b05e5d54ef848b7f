"""R23: ranges, as many and as odd as a client likes (RFC 9110 §14): right bytes and never a hole, cold and warm.

A reference of its own says what each field asks for; the hub is asked for no more than the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.faults.asking import chance
from tests.hub import Repo, Synthetic, TestHub
from tests.processes import Answer, Hubgate, configuration

pytestmark = pytest.mark.fault("R23")

SIZE = 9_000_001
SMALL = 5_000
KINDS = {"lfs": SIZE, "git": SMALL}


@pytest.fixture(scope="module")
def standing(shared_hub: TestHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubgate]:
    with Hubgate(configuration(tmp_path_factory.mktemp("ranges"), shared_hub)) as proxy:
        yield proxy


type File = tuple[str, bytes]


@pytest.fixture
def file(hub: TestHub) -> Callable[[str, int], File]:
    """A new file: (URL, content)."""

    def made(kind: str, seed: int) -> File:
        source, id = Synthetic(KINDS[kind], seed), f"acme/ranges-{kind}-{seed}"
        hub.add(Repo(id, "model", files={"b.bin": source}, storage={"b.bin": kind}))
        return f"https://huggingface.co/{id}/resolve/main/b.bin", bytes(source.read(0, source.size))

    return made


def asked(field: str, size: int) -> list[tuple[int, int]] | None:
    """(start, end) of each range that can be satisfied; None: the field means nothing (RFC 9110 §14.1.1, §14.1.2)."""
    unit, _, rest = field.partition("=")
    if unit.lower() != "bytes":
        return None
    spans = []
    for one in (part.strip(" \t") for part in rest.split(",")):
        if not one:
            continue
        found = re.fullmatch(r"([0-9]*)-([0-9]*)", one)
        if found is None or one == "-" or (found[1] and found[2] and int(found[1]) > int(found[2])):
            return None
        if found[1]:
            spans.append((int(found[1]), min(int(found[2]) + 1, size) if found[2] else size))
        else:
            spans.append((max(0, size - int(found[2])), size))
    return [(start, end) for start, end in spans if start < end] if rest.strip(" ,\t") else None


def parts_of(answer: Answer) -> list[tuple[int, int, bytes]]:
    """(start, end, bytes) of each part of a 206."""
    kind = answer["Content-Type"] or ""
    if not kind.startswith("multipart/byteranges"):
        start, end, _ = numbers(answer["Content-Range"] or "")
        return [(start, end + 1, answer.body)]
    mark = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    _, *parts = answer.body.split(mark)
    assert parts.pop() == b"--\r\n"
    found = []
    for part in parts:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        told = re.search(rb"content-range: (.*)", head, re.I)
        assert told is not None
        start, end, _ = numbers(told[1].decode())
        found.append((start, end + 1, data.removesuffix(b"\r\n")))
    return found


def numbers(told: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)\s*", told)
    assert found is not None, told
    return int(found[1]), int(found[2]), int(found[3])


def right(field: str, answer: Answer, content: bytes) -> bool:
    """Whether an answer is one that the field may have."""
    size, spans = len(content), asked(field, len(content))
    assert len(answer.body) <= size + 400 * (field.count(",") + 2), (
        "no more than the file, however often it is asked for"
    )
    if answer.status == 200:
        return answer.body == content
    if answer.status == 416:
        return spans == [] and answer["Content-Range"] == f"bytes */{size}"
    assert answer.status == 206 and spans, (field[:100], answer.status)
    parts = parts_of(answer)
    assert all(data == content[start:end] and 0 <= start < end <= size for start, end, data in parts), field[:100]
    covered = sorted((start, end) for start, end, _ in parts)
    return all(any(start <= a and b <= end for start, end in covered) for a, b in spans)


#: What is asked, and whether it has to be answered with just that (206 or 416), not with the whole.
ODD = {
    "first": ("bytes=0-0", True),
    "last": (f"bytes={SIZE - 1}-", True),
    "suffix": ("bytes=-1", True),
    "suffix beyond": (f"bytes=-{SIZE * 2}", False),
    "suffix of nothing": ("bytes=-0", True),
    "beyond": (f"bytes={SIZE}-", True),
    "far beyond": (f"bytes={1 << 70}-{1 << 71}", True),
    "across the end": (f"bytes={SIZE - 3}-{SIZE + 1000}", True),
    "an end without end": ("bytes=5-" + "9" * 400, False),
    "a start without end": ("bytes=" + "9" * 400 + "-", True),
    "across a piece": ("bytes=4194300-4194310", True),
    "two": ("bytes=0-9,4194300-4194310", True),
    "overlapping": ("bytes=0-99,50-149,100-199", False),
    "the same twice": ("bytes=7-9,7-9", False),
    "backwards": ("bytes=8000000-8000009,0-9", False),
    "one beyond": (f"bytes=0-9,{SIZE}-", True),
    "all beyond": (f"bytes={SIZE}-,{SIZE + 5}-{SIZE + 9}", True),
    "empty elements": ("bytes=,,0-9, ,", False),
    "nothing": ("bytes=", False),
    "other unit": ("lines=0-9", False),
    "capitals": ("BYTES=0-9", False),
    "backward": ("bytes=9-0", False),
    "sign": ("bytes=+0-9", False),
    "minus": ("bytes=--9", False),
    "hexadecimal": ("bytes=0x0-0x9", False),
    "space": ("bytes=0 -9", False),
    "other digits": ("bytes=\u0660-\u0669", False),
    "words": ("bytes=first-last", False),
    "the whole, ever again": ("bytes=" + ",".join(["0-"] * 5000), False),
    "each suffix": ("bytes=" + ",".join(f"-{n}" for n in range(1, 5000)), False),
    "10 000 bytes": ("bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(4500)), False),
}  # fmt: skip


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_odd_ranges(standing: Hubgate, hub: TestHub, file: Callable[[str, int], File], warm: bool) -> None:
    url, content = file("lfs", 900 + warm)
    assert not warm or standing.ask(url).body == content
    hub.clear()
    for name, (field, exact) in ODD.items():
        answer = standing.ask(url, headers={"Range": field.encode().decode("latin-1")})
        assert right(field, answer, content), name
        assert not exact or answer.status in (206, 416), name
        few = answer.status == 206 and exact and len(asked(field, SIZE) or ()) == 1
        assert not few or len(answer.body) <= 20, name
    assert standing.ask(url).body == content
    assert hub.bytes_sent(host="cdn*") <= (0 if warm else SIZE + 1_000_000)
    assert len(hub.requests(host="cdn*")) <= (0 if warm else 12)


def test_10_000_ranges_do_not_fit_into_a_request(
    standing: Hubgate, hub: TestHub, file: Callable[[str, int], File]
) -> None:
    url, content = file("git", 910)
    field = "bytes=" + ",".join(f"{n % 10}-{n % 10}" for n in range(10_000))
    answer = standing.ask(url, headers={"Range": field})
    assert right(field, answer, content)
    field = "bytes=" + ",".join(f"{n % SMALL:07}-{n % SMALL:07}" for n in range(10_000))
    assert standing.ask(url, headers={"Range": field}).status == 431


def test_several_ranges_of_a_small_file_on_disk(
    standing: Hubgate, hub: TestHub, file: Callable[[str, int], File]
) -> None:
    url, content = file("git", 930)
    for _ in range(3):
        for field in ("bytes=-731,4917-1925", "bytes=0-9,100-109", "bytes=3052-3052,-246,2776-3974"):
            assert right(field, standing.ask(url, headers={"Range": field}), content)


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_by_chance(standing: Hubgate, hub: TestHub, file: Callable[[str, int], File], kind: str) -> None:
    """On a file that gets warm as they come."""
    rnd = chance(f"ranges {kind}")
    url, content = file(kind, 920)
    size = len(content)
    standing.ask(url, "HEAD")
    hub.clear()

    def one() -> str:
        a, b = sorted((rnd.randrange(size + 100), rnd.randrange(size + 100)))
        near = min(b, a + rnd.choice([0, 1, 500, 5_000_000]))
        return rnd.choice(
            [f"{a}-{near}", f"{a}-{near}", f"{a}-", f"-{rnd.randrange(1, 5000)}", f"{b}-{a}", f" {a}-{near}\t"]
        )

    for _ in range(40):
        field = "bytes=" + ",".join(one() for _ in range(rnd.choice([1, 1, 1, 2, 3, 20])))
        assert right(field, standing.ask(url, headers={"Range": field}), content), field
    assert standing.ask(url).body == content
    assert hub.bytes_sent(method="GET") <= 2 * size + 100_000
