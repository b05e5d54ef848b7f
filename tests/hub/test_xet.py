from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub import TestHub
from tests.hub.ask import Reply, ask
from tests.hub.xorbs import HEADER

CAS = "https://cas-server.xethub.hf.co"


def reconstruction(hub: TestHub, spelling: str, asked: str | None) -> Reply:
    token = ask(hub, "/api/models/acme/tiny/xet-read-token/main").json["accessToken"]
    headers = {"Authorization": f"Bearer {token}", **({"Range": f"bytes={asked}"} if asked else {})}
    return ask(hub, f"{CAS}{spelling}{hub.repo('acme/tiny').file('model.safetensors').xet}", headers=headers)


def pieces(told: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """URL, first and last byte of every term, from either version of the answer."""
    for term in told["terms"]:
        if "xorbs" in told:
            (where,) = told["xorbs"][term["hash"]]
            yield where["url"], where["ranges"][0]["bytes"]["start"], where["ranges"][0]["bytes"]["end"]
        else:
            (where,) = told["fetch_info"][term["hash"]]
            yield where["url"], where["url_range"]["start"], where["url_range"]["end"]


def rebuilt(hub: TestHub, told: dict[str, Any]) -> bytes:
    out = bytearray()
    for url, first, last in pieces(told):
        reply = ask(hub, url, headers={"Range": f"bytes={first}-{last}"})
        assert reply.status == 206
        frames = memoryview(reply.body)
        while frames:
            length = int.from_bytes(frames[1:4], "little")
            out += frames[HEADER : HEADER + length]
            frames = frames[HEADER + length :]
    return bytes(out)[told["offset_into_first_range"] :]


@pytest.mark.parametrize(
    "spelling", ["/v2/reconstructions/", "/v1/reconstructions/", "/reconstructions/", "/reconstruction/"]
)
@pytest.mark.parametrize(("first", "last"), [(0, 2_999_999), (100_000, 1_700_000), (2_999_990, 9_999_999)])
def test_terms_lead_to_the_bytes(hub: TestHub, spelling: str, first: int, last: int) -> None:
    file = hub.repo("acme/tiny").file("model.safetensors")
    told = reconstruction(hub, spelling, f"{first}-{last}").json
    whole = bytes(file.source.read(0, file.size))
    assert rebuilt(hub, told)[: last + 1 - first] == whole[first : last + 1]


def test_the_cas_refuses(hub: TestHub) -> None:
    assert ask(hub, f"{CAS}/v2/reconstructions/{'0' * 64}").status == 401
    assert reconstruction(hub, "/v2/reconstructions/", "256000000-767999999").status == 416
    assert reconstruction(hub, "/v2/reconstructions/0", None).status == 404
    hub.knob(cas_v2=False)
    assert reconstruction(hub, "/v2/reconstructions/", None).status == 404
    assert reconstruction(hub, "/v1/reconstructions/", None).status == 200
    assert ask(hub, f"{CAS}/v1/telemetry", "POST", body=b"{}").status == 200


def test_a_xorb_wants_the_signed_range(hub: TestHub) -> None:
    url, first, last = next(pieces(reconstruction(hub, "/v2/reconstructions/", None).json))
    assert ask(hub, url, headers={"Range": f"bytes={first}-{last - 1}"}).status == 403
    assert ask(hub, url).status == 403
    assert (
        ask(hub, url.replace("Signature=FAKE", "Signature=FAKF"), headers={"Range": f"bytes={first}-{last}"}).status
        == 403
    )
    hub.knob(xorb_200=True)
    assert ask(hub, url, headers={"Range": f"bytes={first}-{last}"}).status == 200
