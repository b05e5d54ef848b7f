import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from proxy_addon.core.status import LABELS
from proxy_addon.metrics import HUBS, MAX_KINDS, Metrics


async def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await metrics.text()).decode()
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def key(name, **labels):
    return name, frozenset(labels.items())


async def test_known_outcomes_start_at_zero_for_every_hub():
    found = await samples(Metrics())
    for label in LABELS:
        for hub in HUBS:
            assert found[key("hubgate_requests_total", outcome=label, hub=hub, kind="-")] == 0
            assert found[key("hubgate_sent_bytes_total", outcome=label, hub=hub, kind="-")] == 0
    assert found[key("hubgate_upstream_bytes_total", hub="huggingface")] == 0


async def test_a_request_is_counted_once_with_its_bytes_and_its_first_byte():
    metrics = Metrics()
    metrics.request("hit", "huggingface", "file", 100, 0.003)
    metrics.request("hit", "huggingface", "file", 50, 40.0)
    metrics.request("denied", "-", "-", 0, None)
    found = await samples(metrics)
    assert found[key("hubgate_requests_total", outcome="hit", hub="huggingface", kind="file")] == 2
    assert found[key("hubgate_sent_bytes_total", outcome="hit", hub="huggingface", kind="file")] == 150
    assert found[key("hubgate_requests_total", outcome="denied", hub="-", kind="-")] == 1
    name = "hubgate_first_byte_seconds"
    assert [found[key(f"{name}_bucket", outcome="hit", le=le)] for le in ("0.0025", "0.005", "30.0", "+Inf")] == [
        0, 1, 1, 2,
    ]  # fmt: skip
    assert found[key(f"{name}_count", outcome="hit")] == 2
    assert found[key(f"{name}_sum", outcome="hit")] == pytest.approx(40.003)


async def test_upstream():
    metrics = Metrics()
    metrics.upstream_request("huggingface", 206)
    metrics.upstream_request("huggingface", 206)
    metrics.upstream_bytes("huggingface", 15)
    metrics.upstream_bytes("huggingface", 7)
    metrics.upstream_request("nonsense", 999)
    found = await samples(metrics)
    assert found[key("hubgate_upstream_requests_total", hub="huggingface", status="206")] == 2
    assert found[key("hubgate_upstream_bytes_total", hub="huggingface")] == 22
    assert found[key("hubgate_upstream_requests_total", hub="other", status="other")] == 1


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)), max_size=300))
@settings(max_examples=20, deadline=None)
def test_label_sets_stay_closed_whatever_comes(calls):
    metrics = Metrics()
    for label, hub, kind in calls:
        metrics.request(label, hub, kind, 1, 0.1)
    assert metrics.totals()["requests"] == metrics.totals()["sent_bytes"] == len(calls)
    labels = [s for family in metrics.collect() if family.name == "hubgate_requests" for s in family.samples]
    assert {s.labels["outcome"] for s in labels} <= set(LABELS)
    assert {s.labels["hub"] for s in labels} <= set(HUBS)
    assert len({s.labels["kind"] for s in labels}) <= MAX_KINDS + 1


async def test_what_is_kept_elsewhere_is_read_at_each_scrape():
    state = {"streams": 1}

    async def stats():
        return {"bytes": 5, "limit": 10, "evicted": 3, "no_such": 1}

    metrics = Metrics(stats)
    metrics.gauge("open_streams", "Replies under way", lambda: state["streams"])
    metrics.counter("access_log_lost", "Lines lost", lambda: 4)
    state["streams"] = 2
    found = await samples(metrics)
    assert found[key("hubgate_open_streams")] == 2
    assert found[key("hubgate_access_log_lost_total")] == 4
    assert found[key("hubgate_cache_bytes")] == 5
    assert await metrics.stored() == {"cache_bytes": 5, "cache_limit_bytes": 10}
    assert await Metrics().stored() == {}
    assert found[key("hubgate_evicted_total")] == 3


async def test_a_gauge_may_have_a_label():
    lags, metrics = {"hf:a/b": 5.0}, Metrics()
    metrics.gauges("sync_lag_seconds", "Lag", "repo", lambda: lags)
    lags["ms:a/b@master"] = 7.5
    found = await samples(metrics)
    assert found[key("hubgate_sync_lag_seconds", repo="hf:a/b")] == 5
    assert found[key("hubgate_sync_lag_seconds", repo="ms:a/b@master")] == 7.5


async def test_totals():
    metrics = Metrics()
    metrics.request("hit", "huggingface", "file", 100, 0.1)
    metrics.request("uri-miss", "huggingface", "file", 10, 0.1)
    metrics.upstream_request("huggingface", 200)
    metrics.upstream_bytes("huggingface", 10)
    assert metrics.totals() == {
        "requests": 2, "hits": 1, "sent_bytes": 110, "upstream_requests": 1, "upstream_bytes": 10,
    }  # fmt: skip
