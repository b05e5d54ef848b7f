from datetime import UTC, datetime

import pytest

from proxy_addon.admin.page import index


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
