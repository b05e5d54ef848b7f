"""The walk against the unpickler itself: every import that one makes is told, or that there is one without a name."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import pickletools
import struct
import time
import tracemalloc
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy_addon.scan.contract import Findings, Limits, Notes, Unparsable
from proxy_addon.scan.inspect import inspect
from proxy_addon.scan.sources import Region
from proxy_addon.scan.values import Import
from proxy_addon.scan.walk import DEEPEST, Walk

from . import made
from .made import named, text


def imports(data: bytes, name: str = "a.pkl") -> tuple[str, ...]:
    return inspect(Region.of(data), name).imports


class Inert:
    """Stands for whatever a pickle asks for."""

    def __new__(cls, *_args, **_more):
        return object.__new__(cls)

    def __init__(self, *_args, **_more):
        pass

    __call__ = append = extend = add = __setitem__ = __setstate__ = lambda *_args, **_more: None


class Recorder(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked: list[tuple[str, str]] = []

    def find_class(self, module, name):
        self.asked.append((module, name))
        return Inert

    def persistent_load(self, _id):
        return None


def renamed(pair: tuple[str, str], protocol: int) -> str:
    if protocol < 3:
        pair = NAME_MAPPING.get(pair) or (IMPORT_MAPPING.get(pair[0], pair[0]), pair[1])
    return Import(*pair).shown


WORDS = st.sampled_from(["os", "system", "builtins", "__builtin__", "eval", "a.b", "copy_reg", "é", "\udc80"])
TEXTS = st.one_of(
    WORDS.map(text),
    WORDS.map(lambda word: text(word, 2)),
    st.sampled_from([b"S'os'\n", b'S"sy\\x73tem"\n', b"Vo\\u0073\n"]),
)
OPCODES = st.one_of(
    TEXTS,
    TEXTS,
    st.sampled_from(
        [
            b"(", b"0", b"1", b"2", b"t", b"l", b"d", b"]", b"}", b")", b"N", b"\x88", b"\x85", b"\x86", b"\x87", b"a",
            b"e", b"s", b"u", b"\x8f", b"\x90", b"\x91", b"R", b"b", b"\x81", b"\x92", b"o", b"\x93", b"\x93", b"\x93",
            b"\x94", b"\x94", b"Q", b"cos\nsystem\n", b"cbuiltins\ngetattr\n", b"(ios\nsystem\n", b"C\x02os",
            b"K\x01", b"I7\n", b"\x97", b"P1\n",
        ]
    ),
    st.integers(0, 5).map(lambda n: b"h" + bytes([n])),
    st.integers(0, 5).map(lambda n: b"q" + bytes([n])),
    st.integers(0, 5).map(lambda n: b"p%d\n" % n),
    st.integers(0, 5).map(lambda n: b"g%d\n" % n),
    st.integers(0, 5).map(lambda n: b"r" + struct.pack("<I", n)),
    st.integers(0, 5).map(lambda n: b"j" + struct.pack("<I", n)),
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(OPCODES, max_size=40), st.integers(0, 5))
def test_every_import_that_the_unpickler_makes_is_told(program, protocol):
    data = (b"\x80" + bytes([protocol]) if protocol else b"") + b"".join(program) + b"."
    real = Recorder(data)
    try:
        real.load()
    except Exception:
        done = False
    else:
        done = True
    found = inspect(Region.of(data), "a.pkl")
    missing = {renamed(pair, protocol) for pair in real.asked} - set(found.imports)
    assert not missing or "?" in found.imports
    assert not (done and found.problems)


CLASSES = st.sampled_from(
    [
        collections.OrderedDict,
        datetime.date,
        decimal.Decimal,
        fractions.Fraction,
        pathlib.PurePosixPath,
        len,
        print,
        Inert,
    ]
)
OBJECTS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=300), st.binary(max_size=300),
        st.dates(), st.fractions(), st.decimals(allow_nan=False), CLASSES,
        st.builds(pathlib.PurePosixPath), st.timedeltas(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.tuples(inner, inner), st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(st.text(), inner, max_size=3).map(collections.OrderedDict),
        st.lists(inner).map(collections.deque), st.tuples(inner, inner, inner, inner),
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(OBJECTS, st.integers(0, 5))
def test_pickles_of_objects_are_walked_to_their_end_and_agree_with_genops(value, protocol):
    data = pickle.dumps(value, protocol)
    real = Recorder(data)
    real.load()
    expected = {renamed(pair, protocol) for pair in real.asked}
    found = inspect(Region.of(data), "a.pkl")
    assert set(found.imports) == expected
    assert found.problems == ()
    spelled = {arg for code, arg, _ in pickletools.genops(data) if code.name in ("GLOBAL", "INST")}
    assert {renamed(tuple(each.split(" ")), protocol) for each in spelled} <= expected


@settings(max_examples=600, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(["a.pkl", "a.bin", "b.safetensors", "c.txt", "d.joblib", "e.npy", "f.gguf"]),
)
def test_random_bytes_never_raise(data, name):
    assert isinstance(inspect(Region.of(data), name), Findings)


FILES = [
    *made.containers("os").values(),
    made.torch_file(made.state_dict({"w": 12})),
    made.joblib(pickle.dumps([1])),
]


@settings(max_examples=600, deadline=None)
@example(FILES[-1], [(FILES[-1].rindex(b"aa."), ord("R"))], 0)
@given(
    st.sampled_from(FILES),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    st.integers(0, 5000),
)
def test_files_with_bytes_changed_or_cut_never_raise(data, changes, cut):
    broken = bytearray(data)
    for at, byte in changes:
        broken[at % len(broken)] = byte
    assert isinstance(inspect(Region.of(bytes(broken[: len(broken) - cut % 200])), "model.bin"), Findings)


OS = text("os")
SYSTEM = text("system")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"cos\nsystem\n", id="GLOBAL"),
        pytest.param(b"(ios\nsystem\n", id="INST"),
        pytest.param(b"(cos\nsystem\nX\x01\0\0\0xo", id="OBJ"),
        pytest.param(OS + SYSTEM + b"\x93", id="STACK_GLOBAL"),
        pytest.param(OS + b"\x940" + SYSTEM + b"\x940h\x00h\x01\x93", id="by memo"),
        pytest.param(
            OS + b"r\xff\xff\xff\xff0" + SYSTEM + b"p%d\n0j\xff\xff\xff\xffg%d\n\x93" % (10**20, 10**20),
            id="huge memo ids",
        ),
        pytest.param(SYSTEM + b"q\x05\x940" + OS + b"h\x01\x93", id="a memo with holes counts its entries"),
        pytest.param(OS + text("x") + b"0" + SYSTEM + b"\x93", id="POP"),
        pytest.param(SYSTEM + b"2q\x000" + OS + b"h\x00\x93", id="DUP"),
        pytest.param(OS + b"(" + text("x") + b"N1" + SYSTEM + b"\x93", id="POP_MARK"),
        pytest.param(OS + b"(0" + SYSTEM + b"\x93", id="POP of a mark"),
        pytest.param(b"S'o\\x73'\nVsyste\\u006d\n\x93", id="escapes"),
        pytest.param(b"U\x02osT\x06\0\0\0system\x93", id="old texts"),
        pytest.param(b"\x8d\x02" + bytes(7) + b"osX\x06\0\0\0system\x93", id="long texts"),
        pytest.param(b"B\x05\0\0\0c\nc\n.0" + OS + SYSTEM + b"\x93", id="after bytes that look like opcodes"),
        pytest.param(b"\x95" + (3).to_bytes(8, "little") + OS + SYSTEM + b"\x93", id="a frame that ends too early"),
        pytest.param(b"C\xff" + b"." * 255 + b"0" + OS + SYSTEM + b"\x93", id="after data full of stops"),
        pytest.param(
            b"\x8e" + (200_000).to_bytes(8, "little") + bytes(200_000) + b"0" + OS + SYSTEM + b"\x93", id="after much"
        ),
        pytest.param(b"cos\nsystem\n\xff", id="before what is no opcode"),
        pytest.param(b"cos\nsystem\n0000", id="before an underflow"),
        pytest.param(b"N.\x80\x04" + OS + SYSTEM + b"\x93", id="in a second pickle"),
    ],
)  # fmt: skip
def test_an_import_is_found_however_its_name_got_there(body):
    assert "os.system" in imports(b"\x80\x04" + body + b")R.")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(named("builtins", "str") + b")R" + SYSTEM + b"\x93", id="module made by a call"),
        pytest.param(OS + b"N\x93", id="name that is no text"),
        pytest.param(OS + b"h\x07\x93", id="name from an empty place"),
        pytest.param(text("o" * 200) + SYSTEM + b"\x93", id="too long to be followed"),
        pytest.param(b"\x82\x01", id="EXT1"),
        pytest.param(b"\x83\x01\x00", id="EXT2"),
        pytest.param(b"\x84\x01\x00\x00\x00", id="EXT4"),
        pytest.param(b"c" + b"a" * 70_000 + b"\nb\n", id="endless line"),
        pytest.param(b"c\xff\nb\n", id="no UTF-8"),
        pytest.param(named("builtins", "getattr") + named("a", "b") + b"N\x86R", id="getattr of what is not known"),
        pytest.param(named("a", "B") + b"}b", id="an imported thing is changed"),
        pytest.param(named("a", "B") + b"Na", id="an imported thing is added to"),
        pytest.param(named("a", "B") + b"(" + text("x") + b"Nu", id="an item of an imported thing is set"),
    ],
)
def test_what_cannot_be_told_is_never_dropped(body):
    assert "?" in imports(b"\x80\x04" + body + b".")


def test_a_name_that_reaches_through_a_module_is_not_of_that_module():
    for name in ("os.system", "__builtins__", "sys", "OrderedDict.__init__.__globals__"):
        assert imports(b"\x80\x04" + named("torch._utils", name) + b".") == (f"torch._utils/{name}",)
    assert imports(b"\x80\x04" + named("datetime", "datetime") + b".") == ("datetime.datetime",)
    chain = named("builtins", "getattr") + named("torch._utils", "warnings") + text("sys") + b"\x86R"
    assert "torch._utils/warnings.sys" in imports(b"\x80\x04" + chain + b".")


def test_names_of_python_2_are_told_by_what_they_are_now():
    assert imports(b"\x80\x02c__builtin__\neval\n.") == ("builtins.eval",)
    assert imports(b"\x80\x03c__builtin__\neval\n.") == ("__builtin__.eval",)


def test_pickles_in_bytes_are_data():
    assert imports(pickle.dumps([pickle.dumps(print), bytearray(pickle.dumps(len))])) == ("builtins.bytearray",)
    assert imports(pickle.dumps([pickle.dumps(print)], 4)) == ()


@pytest.mark.parametrize(
    "data",
    [b"\x80\x06N.", b"\x80\x04", b"\x80\x04N", b"N", b"\x80\x04(.", b"\x80\x04NN.x", b"T\xff\xff\xff\xff.", b"0."],
)
def test_what_the_unpickler_would_not_read_is_a_problem(data):
    assert inspect(Region.of(data), "a.pkl").problems


def test_a_stack_or_a_time_without_end_is_a_budget():
    deep = inspect(Region.of(b"\x80\x04" + b"N" * (DEEPEST + 200_000) + b"."), "a.pkl")
    assert deep.problems[0].startswith("budget")
    slow = inspect(Region.of(b"\x80\x04" + b"N0" * 200_000 + b"N."), "a.pkl", Limits(seconds=0))
    assert slow.problems[0].startswith("budget")
    holes = b"".join(b"r" + struct.pack("<I", 2 * n + 1) for n in range(100_002))
    assert inspect(Region.of(b"\x80\x04N" + holes + b"."), "a.pkl").problems[0].startswith("budget")


def test_large_objects_are_passed_over_without_being_read():
    read = []

    def zeroes(offset: int, size: int) -> bytes:
        read.append(size)
        return (head + bytes(size))[offset : offset + size] if offset < len(head) else _tail(offset, size)

    def _tail(offset: int, size: int) -> bytes:
        whole = len(head) + large
        return bytes(max(0, min(size, whole - offset))) + tail[max(0, offset - whole) : max(0, offset + size - whole)]

    large = 1 << 30
    head, tail = b"\x80\x04\x8e" + struct.pack("<Q", large), b"0" + made.payload("os")[2:]
    region = Region(zeroes, 0, len(head) + large + len(tail))
    tracemalloc.start()
    try:
        found = inspect(region, "a.pkl")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.imports == ("os.system",) and found.problems == ()
    assert sum(read) < 2 << 20 and most < 4 << 20


def test_a_walk_ends_where_the_stream_does():
    reader = Region.of(pickle.dumps(print, 4) + b"rest").reader()
    walk = Walk(reader, Notes(), time.process_time() + 9)
    walk.run()
    assert reader.peek(9) == b"rest" and walk.calls == 0
    with pytest.raises(Unparsable, match="no pickle"):
        Walk(Region.of(b"\xff").reader(), Notes(), time.process_time() + 9).run()


@pytest.mark.parametrize("change", [b"S'A'\nS'b'\ns", b"(S'A'\nS'b'\nu", b"S'A'\na", b"(S'A'\ne", b"(S'A'\n\x90"])
def test_a_change_to_what_was_imported_counts_before_a_fault_too(change):
    assert imports(b"cos\nenviron\n" + change + b"\xff", "data") == ("?", "os.environ")
    assert imports(b"cos\nenviron\n" + b"\xff", "data") == ()
