"""The file's grammar: every fault at once with its line, and no half of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon.auth import htpasswd, schemes

KEPT = schemes.made(b"right")
NAMES = st.text(min_size=1, max_size=40).map(htpasswd.normal).filter(lambda name: htpasswd.name_fault(name) is None)


def parse(text: str) -> htpasswd.Parsed:
    return htpasswd.parse(text.encode(), "users")


def test_comments_and_empty_lines_say_nothing():
    assert parse(f"# a\n\n  \nalice:{KEPT}\r\nbob:{KEPT} \n#bob:x").users == {"alice": KEPT, "bob": KEPT}
    assert parse("") == htpasswd.Parsed()


def test_every_fault_is_told_with_its_line_and_nobody_is_let_in():
    found = parse(f"alice:{KEPT}\nbob\nalice:{KEPT}\nAlice:{KEPT}\ncarol:secret\n:{KEPT}\n a:{KEPT}\na\tb:{KEPT}\n")
    assert [fault.partition(";")[0] for fault in found.faults] == [
        "users:2: is no `name:hash`",
        "users:3: alice: is there already, on line 1",
        "users:4: Alice: differs from alice in case only, on line 1",
        "users:5: carol: the password is kept as plain text or DES, which is too weak",
        "users:6: the name '' is empty, or begins with a space or `#`, or ends with a space",
        "users:7: the name ' a' is empty, or begins with a space or `#`, or ends with a space",
        "users:8: the name 'a\\\\tb' has a colon or a control character",
    ]
    assert found.users == {} and "secret" not in "".join(found.faults)
    assert "hubgate auth add carol --file users" in found.faults[3]


def test_bytes_that_are_no_text_are_a_fault():
    assert "users:2: is no" in htpasswd.parse(f"a:{KEPT}\n\xff:{KEPT}".encode("latin-1"), "users").faults[0]


@pytest.mark.parametrize("name", ["", " a", "a ", "#a", "a:b", "a\nb", "a\x7f", "x" * 256, "\ud800", "a\u2028b"])
def test_names_that_nobody_may_have(name):
    assert htpasswd.name_fault(name)


@given(st.binary(max_size=300))
def test_nothing_raises_and_a_fault_leaves_nobody(data):
    found = htpasswd.parse(data, "users")
    assert not (found.users and found.faults)


@given(st.lists(NAMES, unique_by=str.casefold, min_size=1, max_size=5), st.data())
def test_a_user_is_set_and_all_others_stay(names, data):
    text = b"# kept"
    for name in names:
        text = htpasswd.with_user(text, name, KEPT)
    again = data.draw(st.sampled_from(names))
    other = KEPT[:-1] + ("A" if KEPT[-1] != "A" else "E")
    text = htpasswd.with_user(text, again, other)
    assert text.startswith(b"# kept\n") and text.endswith(b"\n")
    assert htpasswd.parse(text, "users").users == {name: other if name == again else KEPT for name in names}


def test_setting_a_user_mends_weak_and_double_lines_of_his():
    text = htpasswd.with_user(b"alice:$apr1$x$y\nbob:%b\nalice:again" % KEPT.encode(), "alice", KEPT)
    assert text == b"alice:%b\nbob:%b\n" % (KEPT.encode(), KEPT.encode())
