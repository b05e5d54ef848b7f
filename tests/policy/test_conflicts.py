"""Cards that promise more than their base models allow."""

import pytest

from proxy_addon.policy.conflicts import conflict
from proxy_addon.policy.facts import UNKNOWN, Unrecognised
from proxy_addon.policy.licences import LICENCES


def licences(*ids):
    return tuple(LICENCES.get(id) or Unrecognised(id) for id in ids)


def judged(card, *bases):
    return conflict(card if card is UNKNOWN else licences(*card), [
        (f"acme/base{n}", base if base is UNKNOWN else licences(*base)) for n, base in enumerate(bases)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("card", "base"),
    [
        ("mit", "cc-by-nc-4.0"), ("apache-2.0", "llama3"), ("mit", "gemma"), ("mit", "cc-by-nd-4.0"),
        ("cc-by-4.0", "cc-by-nc-sa-4.0"), ("mit", "apple-amlr"), ("mit", "qwen"), ("gemma", "cc-by-nc-4.0"),
        ("llama3", "cc-by-nc-4.0"), ("mit", "tencent-hunyuan-community"), ("cc-by-nc-4.0", "apple-amlr"),
        ("cc-by-nc-4.0", "cc-by-nd-4.0"),
    ],
)  # fmt: skip
def test_a_base_that_is_stricter(card, base):
    assert judged([card], [base]) == f"the card says {card}, its base model acme/base0 says {base}"


@pytest.mark.parametrize(
    ("card", "base"),
    [
        ("mit", "mit"), ("mit", "apache-2.0"), ("cc-by-nc-4.0", "mit"), ("cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("llama3", "llama3"), ("llama3.1", "llama3"), ("gpl-3.0", "mit"), ("cc-by-nc-nd-4.0", "cc-by-nc-4.0"),
        ("my-own", "my-own"), ("my-own", "mit"), ("openmdw-1.1", "mit"),
    ],
)  # fmt: skip
def test_a_base_that_allows_as_much(card, base):
    assert judged([card], [base]) is None


@pytest.mark.parametrize(
    ("card", "base"),
    [
        (UNKNOWN, ["mit"]),
        (["mit"], UNKNOWN),
        (["mit"], ["gpl"]),
        (["my-own"], ["cc-by-nc-4.0"]),
        (["mit"], ["openmdw-1.1"]),
    ],
)
def test_what_cannot_be_compared_is_unknown(card, base):
    assert judged(card, base) is UNKNOWN


def test_of_several():
    assert judged(["mit"]) is None and judged(UNKNOWN) is None
    assert (
        judged(["mit"], UNKNOWN, ["cc-by-nc-4.0"]) == "the card says mit, its base model acme/base1 says cc-by-nc-4.0"
    )
    assert judged(["mit"], ["mit"], UNKNOWN) is UNKNOWN
    assert judged(["mit", "cc-by-nc-4.0"], ["cc-by-nc-4.0"]) is None
    assert judged(["mit"], ["mit", "gemma"]) == "the card says mit, its base model acme/base0 says mit, gemma"


def test_the_words_are_bounded():
    assert len(str(conflict(licences("mit"), [("x" * 5000, licences("gemma"))]))) == 300
