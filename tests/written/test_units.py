import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.written import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), (0, 0), ("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("1.5h", 5400)],
)
def test_durations(text, seconds):
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("200GB", 200 * 10**9), ("256MB", 256 * 10**6), ("4MiB", 4 * 2**20), ("1.5 kB", 1500), ("10B", 10)],
)
def test_sizes(text, size):
    assert units.size(text) == size


@pytest.mark.parametrize(
    ("text", "rate"),
    [("400Mbps", 50e6), ("50MB/s", 50e6), ("1MiB/s", 2**20), ("8kbit/s", 1000), ("1Gbps", 125e6), ("9B/s", 9)],
)
def test_rates(text, rate):
    assert units.rate(text) == rate


@pytest.mark.parametrize("parse", [units.duration, units.size, units.rate])
@pytest.mark.parametrize("value", [5, 1.5, True, None, [], "", "5", "-5m", "5 parsecs", "1e3", "\u0661s", "5mm"])
def test_what_has_no_clear_meaning_is_refused_with_an_example(parse, value):
    with pytest.raises(ValueError, match="write"):
        parse(value)


@pytest.mark.parametrize("text", ["400mbps", "50mb/s", "5iB/s", "5GB"])
def test_case_and_form_matter_in_a_rate(text):
    with pytest.raises(ValueError, match="case matters"):
        units.rate(text)


@given(st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_quantity_or_a_value_error(text):
    for parse in (units.duration, units.size, units.rate):
        try:
            assert parse(text) >= 0
        except ValueError as fault:
            assert "write" in str(fault)
