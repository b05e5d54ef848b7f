import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.written.strict_yaml import MAX_BYTES, parse


def faults(text):
    return [(line, what) for line, what in parse(text.encode()).faults]


def test_the_core_schema_of_yaml_1_2():
    text = "a: yes\nb: true\nc: 1:20\nd: 010\ne: ~\nf: 'true'\ng: 1.5\nh: 2024-01-01\ni:\nj: 0x1f\nk: off"
    assert parse(text.encode()).value == {
        "a": "yes", "b": True, "c": "1:20", "d": 10, "e": None, "f": "true", "g": 1.5, "h": "2024-01-01", "i": None,
        "j": "0x1f", "k": "off",
    }  # fmt: skip


def test_lines_are_kept_for_keys_and_items():
    lines = parse(b"a:\n  b: 1\nc:\n  - x\n  - y: 2\n").lines
    assert (lines["a",], lines["a", "b"], lines["c", 0], lines["c", 1, "y"]) == (1, 2, 4, 5)


def test_every_fault_is_told_with_its_line():
    text = "a: 1\na: 2\nb: &x [1]\nc: *x\nd: !!str 5\n? [q]\n: 1\n"
    told = faults(text)
    assert sorted(line for line, _ in told) == [2, 3, 4, 5, 6]
    assert "a: is here for the second time (first on line 1); keep one" in dict(told)[2]


def test_equal_keys_are_seen_at_any_depth():
    assert faults("cache:\n  size: 1\n  dir: x\n  size: 2\n")[0][1].startswith(
        "cache.size: is here for the second time"
    )


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: [1\nb: 2", 2, "not valid YAML"),
        ("a: b: c", 1, "not valid YAML"),
        ("\ta: 1", 1, "not valid YAML"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("a: 1\nb: \x07", 2, "forbids"),
        ("a: " + "[" * 5000, 1, "nested"),
        ("a: " + "x" * MAX_BYTES, 1, "bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_fault(text, line, word):
    ((told, what),) = faults(text)
    assert (told, word in what) == (line, True)


def test_not_utf_8():
    assert parse(b"a: 1\nb: \xff").faults == [(2, "this is not UTF-8; save the file as UTF-8")]


def test_a_byte_order_mark_and_an_empty_file_are_fine():
    assert parse(b"\xef\xbb\xbfa: 1").value == {"a": 1}
    assert parse(b"# nothing\n").value is None


@given(st.text(alphabet=st.sampled_from("ab:-[]{},\n \"'&*!|>?#%\t0\\"), max_size=60))
@settings(max_examples=100, deadline=None)
def test_parse_never_raises(text):
    document = parse(text.encode())
    assert all(line >= 1 for line, _ in document.faults)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_parse_never_raises_on_octets(data):
    assert all(line >= 1 for line in parse(data).lines.values())
