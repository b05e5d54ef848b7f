from datetime import UTC, datetime

import pytest

from proxy_addon.admin.page import Ruled, Synced, index


@pytest.mark.parametrize(
    ("name", "count", "shown"),
    [
        ("sent_bytes", 999, "999 B"),
        ("sent_bytes", 1500, "1.5 kB"),
        ("sent_bytes", 2 * 10**12, "2.0 TB"),
        ("sent_bytes", 5 * 10**15, "5,000.0 TB"),
        ("requests", 12345, "12,345"),
    ],
)
def test_numbers_are_for_people(name, count, shown):
    page = index((), {name: count}, "AB:CD", datetime(2030, 1, 2, tzinfo=UTC))
    assert f"<td>{shown}<" in page
    assert "hubgate is working" in page and "2030-01-02" in page


def test_how_full_the_cache_is_is_shown():
    page = index((), {"cache_bytes": 0, "cache_limit_bytes": 2 * 10**11}, "AB:CD", datetime(2030, 1, 2, tzinfo=UTC))
    assert "<th>cache bytes<td>0 B<" in page and "<th>cache limit bytes<td>200.0 GB<" in page


def test_repos_in_sync_are_shown_with_their_lag():
    synced = [
        Synced("hf:a/b", 90061.4, behind=True),
        Synced("ms:a/c", 3.0, False),
        Synced("hf:a/<d>", 5, True, "<gone>"),
    ]
    page = index((), {}, "AB:CD", datetime(2030, 1, 2, tzinfo=UTC), synced)
    assert "<th>hf:a/b<td>1 day, 1:01:01<td>coming<" in page and "<th>ms:a/c<td>0:00:03<td>in step<" in page
    assert "<th>hf:a/&lt;d&gt;<td>0:00:05<td>&lt;gone&gt;<" in page
    assert "In sync" not in index((), {}, "AB:CD", datetime(2030, 1, 2, tzinfo=UTC))


def test_the_rules_in_force_are_shown():
    page = index((), {}, "AB:CD", datetime(2030, 1, 2, tzinfo=UTC), (), Ruled(1234, "ab<", 1893456000.0))
    assert "Rules in force: 1,234, since 2030-01-01 00:00:00 UTC, digest <code>ab&lt;</code>" in page
