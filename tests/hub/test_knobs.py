"""Faults, throttle, log, and the hub being down."""

import gzip
import http.client
import socket
import threading

import pytest

from tests.hub import HubProcess, Scripted, Splice, TestHub
from tests.hub.ask import Reply, ask, connect, follow
from tests.hub.exchange import Answer, Exchange, text

OLD = "/acme/tiny/resolve/main/old.bin"


def old_bin(hub: TestHub, **headers: str) -> Reply:
    return ask(hub, ask(hub, OLD).location, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_knob_is_taken_by_pattern_and_for_so_many_times(hub: TestHub) -> None:
    hub.knob(host="huggingface.co", path="/api/*", method="GET", skip=1, times=2, status=503)
    found = [ask(hub, "/api/models/acme/tiny").status for _ in range(4)]
    assert found == [200, 503, 503, 200]
    assert ask(hub, OLD).status == 302
    with pytest.raises(TypeError, match="no such knob: lattency"):
        hub.knob(lattency=1)


def test_the_later_knob_wins_field_by_field_until_removed(hub: TestHub) -> None:
    hub.knob(status=503, headers={"X-A": "1"})
    later = hub.knob(status=429, retry_after=7)
    reply = ask(hub, OLD)
    assert (reply.status, reply["Retry-After"], reply["RateLimit"], reply["X-A"]) == (
        429,
        "7",
        '"resolvers";r=0;t=7',
        "1",
    )
    hub.unknob(later)
    assert ask(hub, OLD).status == 503
    hub.unknob()
    assert ask(hub, OLD).status == 302


@pytest.mark.parametrize("reset", [False, True])
def test_a_body_is_cut(hub: TestHub, reset: bool) -> None:
    hub.knob(host="cdn-lfs*", drop_after=100_000, drop_rst=reset, times=1)
    with pytest.raises(ConnectionError if reset else http.client.IncompleteRead) as caught:
        old_bin(hub)
    if isinstance(caught.value, http.client.IncompleteRead):
        assert len(caught.value.partial) == 100_000
    (record,) = hub.wait(host="cdn-lfs*", ended=True)
    assert record.cut and record.sent == 100_000
    assert len(old_bin(hub).body) == 1_500_000


def test_a_body_stalls_and_the_hub_ends_all_the_same(hub: TestHub) -> None:
    hub.knob(host="cdn-lfs*", stall_after=1000)
    connection = connect(hub, "cdn-lfs-us-1.hf.co")
    connection.request("GET", ask(hub, OLD).location.removeprefix("https://cdn-lfs-us-1.hf.co"))
    response = connection.getresponse()
    assert len(response.read(1000)) == 1000
    hub.stop()
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        response.read()
    hub.start()


def test_a_reply_is_held_until_released(hub: TestHub) -> None:
    hub.knob(host="cdn-lfs*", hold="later", hold_at=4096)
    got: list[Reply] = []
    client = threading.Thread(target=lambda: got.append(old_bin(hub)))
    client.start()
    hub.log.wait_until(lambda: hub.bytes_sent(host="cdn-lfs*") == 4096)
    assert not got
    hub.release("later")
    client.join(10)
    assert len(got[0].body) == 1_500_000


def test_lies(hub: TestHub) -> None:
    right = old_bin(hub)
    hub.knob(host="cdn-lfs*", length_lie=10, times=1)
    with pytest.raises(http.client.IncompleteRead):
        old_bin(hub)
    hub.knob(host="cdn-lfs*", length_lie=-10, times=1)
    assert old_bin(hub).body == right.body[:-10]
    hub.knob(host="cdn-lfs*", chunked=True, times=1)
    chunked = old_bin(hub)
    assert chunked["Content-Length"] is None and chunked.body == right.body
    hub.knob(host="cdn-lfs*", corrupt_at=700_000, times=2)
    wrong = old_bin(hub).body
    assert [i for i in range(len(wrong)) if wrong[i] != right.body[i]] == [700_000]
    assert old_bin(hub, Range="bytes=700000-700000").body != right.body[700_000:700_001]
    hub.knob(host="cdn-lfs*", range_ignored=True, times=1)
    assert old_bin(hub, Range="bytes=5-9").status == 200
    hub.knob(host="cdn-lfs*", etag="other", times=1)
    assert old_bin(hub, Range="bytes=5-9", If_Range=right["ETag"] or "").status == 200
    hub.knob(host="cdn-lfs*", status=200, body="<html>", content_type="text/html", times=1)
    assert old_bin(hub)["Content-Type"] == "text/html"
    hub.knob(host="huggingface.co", redirect="self", times=6)
    with pytest.raises(RecursionError):
        follow(hub, OLD)
    hub.knob(redirect="https://169.254.169.254/", drop_headers=("Content-Type",), times=1)
    assert ask(hub, OLD).location == "https://169.254.169.254/"


def test_small_text_may_come_compressed(hub: TestHub) -> None:
    hub.knob(gzip_small=True)
    url = ask(hub, "/acme/tiny/resolve/main/vocab.txt").location
    plain, packed = ask(hub, url), ask(hub, url, headers={"Accept-Encoding": "gzip, deflate"})
    assert plain["Content-Encoding"] is None and gzip.decompress(packed.body) == plain.body
    assert packed["ETag"] == f"W/{plain['ETag']}"


def test_bandwidth_is_per_connection(hub: TestHub) -> None:
    url = ask(hub, OLD).location.removeprefix("https://cdn-lfs-us-1.hf.co")
    hub.knob(host="cdn-lfs*", bandwidth=10)  # the second piece of 1 KiB is due after 100 s
    connections = [connect(hub, "cdn-lfs-us-1.hf.co") for _ in range(2)]
    for connection in connections:
        connection.request("GET", url)
        assert len(connection.getresponse().read(1024)) == 1024
    assert [r.sent for r in hub.requests(host="cdn-lfs*")] == [1024, 1024]
    for connection in connections:
        connection.close()


def test_the_log_counts(hub: TestHub) -> None:
    file = hub.repo("acme/tiny").file("old.bin")
    url = ask(hub, OLD).location
    ask(hub, url, headers={"Range": "bytes=0-749999"})
    assert hub.bodies_of(file.digest) == 0.5
    ask(hub, url, headers={"Range": "bytes=750000-"})
    assert hub.bodies_of(file.digest) == 1.0
    (resolve,) = hub.requests(path="/acme/tiny/*", method="GET", status=302)
    assert resolve.host == "huggingface.co" and resolve.repo == "acme/tiny" and resolve.client_port
    assert [r.headers["range"] for r in hub.requests(host="cdn-lfs*")] == ["bytes=0-749999", "bytes=750000-"]
    hub.clear()
    assert not hub.requests() and hub.bodies_of(file.digest) == 0.0
    with pytest.raises(TimeoutError):
        hub.wait(timeout=0.01)


def test_the_hub_is_down_and_up_again_on_its_port(hub: TestHub) -> None:
    kept = connect(hub, "huggingface.co")
    kept.request("GET", OLD)
    kept.getresponse().read()
    hub.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(hub, OLD)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        kept.request("GET", OLD)
        kept.getresponse()
    hub.stop(silent=True)
    with socket.create_connection(("127.0.0.1", hub.port), 5) as silent, pytest.raises(TimeoutError):
        silent.settimeout(0.05)
        silent.recv(1)
    hub.start()
    assert ask(hub, OLD).status == 302


def test_a_plain_host_answers_by_script_and_by_function(hub: TestHub) -> None:
    url = "https://plain.example/a"
    hub.script("/a", Scripted(200, {"ETag": '"1"', "Cache-Control": "max-age=9"}, "one"), Scripted(404, body="gone"))
    hub.script("/r", Scripted(200, [("X", "1"), ("X", "2")], b"0123456789", ranges=True))
    assert ask(hub, url).body == b"one"
    assert [ask(hub, url).status for _ in range(2)] == [404, 404]
    ranged = ask(hub, "https://plain.example/r", headers={"Range": "bytes=-3"})
    assert ranged.body == b"789" and ranged.headers.get_all("X") == ["1", "2"]

    def answer(ex: Exchange) -> Answer:
        return text(200, f"{ex.method} {ex.host} {ex.param('q')}")

    hub.on("/f*", answer, host="*.plain.example")
    assert ask(hub, "https://b.plain.example/fun?q=7").body == b"GET b.plain.example 7"
    assert ask(hub, "https://elsewhere.example/").status == 404


def test_the_hub_as_a_process_is_the_same_hub() -> None:
    with HubProcess("--synthetic", "bench/big:b.bin:3MiB:lfs") as remote:
        digest = remote.digest("bench/big", "b.bin")
        knob = remote.knob(host="huggingface.co", latency=0.001)
        assert remote.add_synthetic("bench/more", "c.bin", 1000, storage="xet") != digest
        with socket.create_connection(("127.0.0.1", remote.port), 5):
            assert remote.requests() == [] and remote.bodies_of(digest) == 0.0
        remote.unknob(knob)
        remote.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", remote.port), 5)
        remote.start()
        with pytest.raises(RuntimeError, match="no such knob: foo"):
            remote.knob(foo=1)
    assert remote.process.returncode == 0


def test_the_splice_leads_every_host_to_the_hub(hub: TestHub) -> None:
    with Splice(hub.port) as splice:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", splice.port, context=hub.authority.client_context(), timeout=10
        )
        connection.set_tunnel("huggingface.co", 443)
        connection.request("GET", OLD, headers={"Host": "huggingface.co"})
        assert connection.getresponse().status == 302
        connection.close()
        assert splice.targets == ["huggingface.co:443"]
