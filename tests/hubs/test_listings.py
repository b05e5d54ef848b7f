import pytest

from proxy_addon.hub import modelscope
from proxy_addon.hub import ms_listing as ms
from proxy_addon.hub.resources import Repo
from proxy_addon.hub.targets import Entry

REPO = Repo("modelscope", "models", "acme/tiny")
DIGEST = "b" * 64


def test_urls_are_spelled_as_the_sdk_spells_them():
    host, abroad = "https://modelscope.cn", Repo("modelscope", "datasets", "acme/d", "ai")
    assert ms.listing_url(REPO, "master") == f"{host}/api/v1/models/acme/tiny/repo/files?Revision=master&Recursive=True"
    one = ms.listing_url(REPO, "v1", "sub/d é", recursive=False)
    assert one.endswith("/repo/files?Revision=v1&Recursive=False&Root=sub%2Fd+%C3%A9")
    assert ms.listing_url(abroad, "master", page=2) == (
        "https://www.modelscope.ai/api/v1/datasets/acme/d/repo/tree"
        "?Revision=master&Recursive=True&PageNumber=2&PageSize=200"
    )
    assert ms.open_url(REPO) == f"{host}/openapi/v1/models/acme/tiny"


def listed(*nodes):
    return {"Code": 200, "Success": True, "Data": {"Files": list(nodes)}}


def test_a_listing_gives_files_with_their_digests_each_once():
    file = {"Path": "b", "Type": "blob", "Size": 3, "Sha256": DIGEST}
    odd = [{"Path": "n", "Type": "blob", "Size": "3"}, {"Path": 5, "Type": "blob", "Size": 3}, "nonsense"]
    answer = listed(file, {"Path": "a/x", "Type": "blob", "Size": 0}, {"Path": "a", "Type": "tree"}, file, *odd)
    nodes = ms.nodes(answer)
    assert ms.entries(nodes) == [Entry("a/x", 0, ""), Entry("b", 3, f"sha256:{DIGEST}")]
    assert ms.folders(nodes) == ["a"]
    assert ms.nodes({"Data": [file]}) == [file], "older answers have no envelope inside the envelope"


@pytest.mark.parametrize("nonsense", [None, [], "x", {}, {"Data": 5}, {"Data": {"Files": None}}])
def test_what_is_no_listing_is_a_fault(nonsense):
    with pytest.raises(ValueError, match="no listing"):
        ms.nodes(nonsense)


def test_a_refusal_is_told_in_the_hub_s_words():
    with pytest.raises(ValueError, match=r"no such revision \(gone\)"):
        ms.nodes({"Success": False, "Code": modelscope.NO_SUCH, "Message": "gone"})
    with pytest.raises(ValueError, match=r"the hub refuses: x{200}$"):
        ms.nodes({"Success": False, "Code": 1, "Message": "x" * 5000})


@pytest.mark.parametrize(
    ("total", "here", "before", "last"),
    [(450, 200, 0, False), (450, 50, 400, True), (450, 0, 200, True), (None, 200, 0, False), (None, 150, 0, True)],
)
def test_the_last_page(total, here, before, last):
    assert ms.is_last({} if total is None else {"TotalCount": total}, here, before) is last


def test_a_version_is_the_files():
    one, two = Entry("a", 1, ""), Entry("b", 2, f"sha256:{DIGEST}")
    assert ms.version_of([one, two]) == ms.version_of([one, two]) != ms.version_of([one])
    assert ms.version_of([one]) != ms.version_of([Entry("a", 2, "")]) and ms.version_of([]).startswith("files:")
