import pytest

from proxy_addon.hub.paths import is_signed, unsigned

PLACE = "https://objects.plain.example/bucket/77"
SIGNED = [
    "X-Amz-Algorithm=AWS4&X-Amz-Credential=c&X-Amz-Date=1&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
    "X-Goog-Algorithm=g&X-Goog-Date=1&X-Goog-Signature={}",
    "Expires={}&Policy=p{}&Signature={}&Key-Pair-Id=k",
    "sp=r&sv=2018-11-09&sr=b&spr=https&se={}&skoid=o&sktid=t&skt=1&ske=2&sks=b&skv=2018&sig={}&jwt={}",
    "auth_key={}-0-0-md5",
]


@pytest.mark.parametrize("query", SIGNED)
def test_two_signatures_name_one_thing(query: str) -> None:
    one, two = (f"{PLACE}?{query.replace('{}', mark)}&response-content-type=a%2Fb" for mark in ("1", "2"))
    assert is_signed(one.partition("?")[2])
    assert unsigned(one) == unsigned(two) == f"{PLACE}?response-content-type=a%2Fb"


def test_what_is_of_no_signature_stays() -> None:
    assert unsigned(f"{PLACE}?X-Amz-Signature=1&versionId=7&sv=2&expires=3") == f"{PLACE}?versionId=7&sv=2&expires=3"
    assert unsigned(f"{PLACE}?X-Amz-Signature=1&versionId=7") != unsigned(f"{PLACE}?X-Amz-Signature=1&versionId=8")
    assert unsigned(PLACE) != unsigned("https://objects.plain.example/bucket/78")
