"""The licence table: what is meant by what a hub says, that each fact has a source, and that doubt is never a yes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy_addon.cli.main import run
from proxy_addon.policy import model_licences, open_licences
from proxy_addon.policy.licences import KNOWN_FAMILIES, LICENCES, canonical, family, near, spellings_of
from proxy_addon.policy.spellings import ALIASES, FAMILIES, LOOSE, PREFIXES, spelling
from proxy_addon.policy.terms import NAMES, SOURCES, Answer, Attributes, Mirror, ShareAlike, Source, mirror, row

HF, MS = "huggingface", "modelscope"
HUBS = (HF, MS)
NOT_SAID = ("", "other", "unknown", "Other", " UNKNOWN ", "none", "License", "the license")

#: What Hugging Face lets an uploader choose from.
HUB_IDS = [
    *re.findall(
        r"\S+",
        """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0
artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0
epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openmdw-1.1 openrail++ osl-3.0
postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2
llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown other
""",
    )
]
EVERY = tuple(LICENCES.values())
SPELT = [(text, id) for text, id in (*ALIASES, *((id, id) for id in LICENCES))]

texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from([text for text, _ in SPELT]),
    st.lists(
        st.sampled_from(["mit", "apache-2.0", "gpl", "cc-by-nc-4.0", "llama3.1", "and", "OR", "with", "(", ")", "x"]),
        max_size=12,
    ).map(" ".join),
)


def named(text: str | None, hub: str = HF, name: str | None = None) -> str | None:
    found = canonical(text, hub=hub, name=name)
    return found and found.id


def test_every_id_of_hugging_face_is_a_licence_a_family_or_says_nothing() -> None:
    assert len(HUB_IDS) == len({*HUB_IDS}) == 83
    families = {id for id in HUB_IDS if family(id)}
    assert families == {"gpl", "lgpl", "bsd", "cc", "openrail", "gfdl"}
    assert {id for id in HUB_IDS if named(id) is None} == families | {"other", "unknown"}
    assert [named(id) for id in HUB_IDS if named(id)] == [id for id in HUB_IDS if named(id)]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("Apache License 2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("apache license v2.0", "apache-2.0"),
        ("MIT License", "mit"),
        ("MIT", "mit"),
        ("GPL-2.0", "gpl-2.0"),
        ("GPL-3.0", "gpl-3.0"),
        ("LGPL-2.1", "lgpl-2.1"),
        ("LGPL-3.0", "lgpl-3.0"),
        ("AFL-3.0", "afl-3.0"),
        ("ECL-2.0", "ecl-2.0"),
        ('BSD 3-Clause "New" or "Revised" License', "bsd-3-clause"),
        ("CC BY-NC 4.0", "cc-by-nc-4.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International", "cc-by-nc-sa-4.0"),
        ("Community Data License Agreement – Sharing, Version 1.0", "cdla-sharing-1.0"),  # noqa: RUF001
        ("GNU General Public License v3.0 or later", "gpl-3.0"),
        ("Llama 3.1 Community License Agreement", "llama3.1"),
        ("META LLAMA 3 COMMUNITY LICENSE AGREEMENT", "llama3"),
        ("Open Data Commons Public Domain Dedication and License", "pddl"),
        ("Do not know", None),
        ("BUSL-1.1", None),
        ("apache-2.0 with Commons-Clause", None),
        ("mit-0-like", None),
    ],
)
def test_free_text_means_what_it_says(text: str, id: str | None) -> None:
    assert {named(text, hub) for hub in HUBS} == {id}


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.id)
def test_an_spdx_id_names_its_own_licence(entry: Any) -> None:
    assert named(entry.spdx or entry.id) == entry.id


@given(texts)
@example("mit and (apache-2.0 or cc-by-nc-4.0)")
@example("(" * 90 + "mit and isc" + ")" * 90)
@example("(AND mit")
@example(
    "mrl and flux-1-dev-nc and nvidia-open-model and fair-noncommercial-research and falcon-2 and exaone-nc and"
    " stability-community and deepfloyd-if and apple-ml-research and tencent-hunyuan-x"
)
def test_the_id_that_was_found_finds_itself(text: str) -> None:
    for hub in HUBS:
        found = canonical(text, hub=hub)
        assert found == (canonical(found.id, hub=hub) if found else None)


@given(st.sampled_from(SPELT), st.data())
def test_case_and_spaces_do_not_matter(spelt: tuple[str, str], data: st.DataObject) -> None:
    text, id = spelt
    gaps = st.sampled_from([" ", "  ", "\t", "\n", "_", " - "])
    loud = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) if c.isascii() else c for c in text)
    spaced = "".join(data.draw(gaps) if c in " -" else c for c in loud)
    assert named(f"  {spaced} ", MS) == id


def test_no_spelling_names_two_things() -> None:
    every: dict[str, set[str]] = {}
    pairs = (*SPELT, *LOOSE, *((entry.id, entry.id) for entry in FAMILIES))
    for text, id in pairs:
        every.setdefault(spelling(text), set()).add(id)
    assert {key: ids for key, ids in every.items() if len(ids) > 1} == {}
    assert "" not in every
    assert not [key for key in every if any(key.startswith(start) for start in PREFIXES) and key not in LICENCES]
    assert {id for _, id in ALIASES} | {*PREFIXES.values()} <= LICENCES.keys()
    assert len(EVERY) == len(open_licences.TABLE) + len(model_licences.TABLE)


@pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.id)
def test_a_family_is_never_a_licence(entry: Any) -> None:
    names = [entry.id, *(text for text, id in LOOSE if id == entry.id)]
    for text in (*names, *(name.upper() for name in names)):
        assert named(text) is None
        assert named("other", name=text) is None
        assert named(f"{text} AND mit") is None
        assert family(text) == entry
    assert {*entry.members} <= LICENCES.keys()


@pytest.mark.parametrize("text", [None, *NOT_SAID, "mit" + " " * 198, "gpl" + " " * 198])
def test_what_says_nothing_is_never_permissive(text: str | None) -> None:
    assert named(text) is None
    assert family(text) is None
    assert named("other", name=text) is None


@pytest.mark.parametrize(
    ("text", "name", "id"),
    [
        ("other", "tongyi-qianwen", "tongyi-qianwen"),
        ("other", "Tongyi Qianwen LICENSE AGREEMENT", "tongyi-qianwen"),
        ("other", "deepseek-license", "deepseek"),
        ("other", "stabilityai-ai-community", "stability-ai-community"),
        ("Other", "Modified-MIT", "modified-mit"),
        ("other", "tencent-hunyuan-a13b", "tencent-hunyuan-community"),
        ("other", "qwen-research", "qwen-research"),
        ("other", "mrl", "mistral-ai-research"),
        ("other", "my-own", None),
        ("unknown", "mit", None),
        ("gpl", "gpl-3.0", None),
        ("cc-by-nc-4.0", "mit", "cc-by-nc-4.0"),
        (None, "mit", None),
    ],
)
def test_a_licence_name_counts_beside_other_only(text: str | None, name: str, id: str | None) -> None:
    assert named(text, name=name) == id


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("MIT OR Apache-2.0", "apache-2.0"),
        ("cc-by-nc-4.0 or MIT", "mit"),
        ("mit and apache-2.0", "apache-2.0 AND mit"),
        ("(GPL-3.0 AND MIT) OR CC0-1.0", "cc0-1.0"),
        ("MIT AND gpl", None),
        ("MIT OR something of ours", None),
        ("MIT AND", None),
        ("MIT AND (", None),
        ("tencent-hunyuan-a13b AND mit", "mit AND tencent-hunyuan-community"),
        ("tencent-hunyuan-a13b with more", None),
    ],
)
def test_expressions(text: str, id: str | None) -> None:
    assert named(text) == id


@given(st.lists(st.sampled_from(sorted(LICENCES)), min_size=2, max_size=4, unique=True))
def test_all_of_several_licences_allow_no_more_than_each(ids: list[str]) -> None:
    whole = canonical(" AND ".join(ids), hub=HF)
    assert whole is not None
    strict = list(Mirror)
    for part in map(LICENCES.__getitem__, ids):
        assert strict.index(whole.mirror) >= strict.index(part.mirror)
        for right in ("commercial_use", "modify", "redistribute"):
            assert whole.attributes[right] != "yes" or part.attributes[right] == "yes"
        known = {*NAMES} - {*whole.attributes.unknown()}
        assert Source.UNVERIFIED not in map(whole.source_of, known)
    assert canonical(" AND ".join(reversed(ids)), hub=HF) == whole


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.id)
def test_each_fact_has_a_source(entry: Any) -> None:
    for name in NAMES:
        unknown = entry.attributes[name] == "unknown"
        assert (entry.source_of(name) is Source.UNVERIFIED) == unknown, name
        assert entry.source_of(name) in SOURCES
    assert {name for name, _ in entry.but} <= {*NAMES} - {*entry.attributes.unknown()}
    assert entry.notes
    assert entry.confidence == SOURCES[entry.source][1]
    with pytest.raises(KeyError):
        entry.source_of("price")


def test_what_was_not_verified_is_unknown_altogether() -> None:
    unread = {entry.id for entry in EVERY if entry.source is Source.UNVERIFIED}
    assert unread == {"openmdw-1.1", "grok2-community", "ltx-video-open-weights"}
    assert all(LICENCES[id].attributes.unknown() == NAMES for id in unread)
    assert {LICENCES[id].mirror for id in unread} == {Mirror.REVIEW}
    assert LICENCES["apple-amlr"].confidence == "known, text not re-read"


@pytest.mark.parametrize(
    ("id", "attribute", "value"),
    [
        ("apache-2.0", "modify", "yes"),
        ("apache-2.0", "patent_grant", "yes"),
        ("mit", "patent_grant", "no"),
        ("bsl-1.0", "commercial_use", "yes"),
        ("gpl-3.0", "share_alike", "work"),
        ("agpl-3.0", "share_alike", "network"),
        ("mpl-2.0", "share_alike", "file"),
        ("cc0-1.0", "notice", "no"),
        ("cc-by-4.0", "notice", "yes"),
        ("cc-by-nc-4.0", "commercial_use", "no"),
        ("cc-by-nc-4.0", "redistribute", "cond"),
        ("cc-by-nd-4.0", "modify", "no"),
        ("cc-by-nd-4.0", "commercial_use", "yes"),
        ("c-uda", "use_restrictions", "yes"),
        ("llama3.1", "commercial_use", "cond"),
        ("llama3.1", "output_limits", ("named",)),
        ("llama3.1", "territory_excluded", ()),
        ("llama2", "output_limits", ("no-training",)),
        ("llama4", "territory_excluded", ("EU",)),
        ("gemma", "share_alike", "use-terms"),
        ("bigcode-openrail-m", "use_restrictions", "yes"),
        ("apple-amlr", "research_only", "yes"),
        ("exaone", "output_limits", ("noncommercial", "no-training")),
        ("tencent-hunyuan-community", "territory_excluded", ("EU", "GB", "KR")),
        ("openrail++", "thresholds", "unknown"),
        ("qwen", "thresholds", ("above 100,000,000 monthly users: needs a licence from Alibaba Cloud",)),
    ],
)
def test_facts(id: str, attribute: str, value: object) -> None:
    assert LICENCES[id].attributes[attribute] == value


def test_bsl_is_boost_with_its_number_and_nothing_without() -> None:
    assert LICENCES["bsl-1.0"].spdx == "BSL-1.0"
    assert "Boost" in LICENCES["bsl-1.0"].notes
    assert named("bsl") is None
    assert named("bsl-1.1") is None
    assert named("Business Source License 1.1") is None


def test_attributes_are_a_mapping_of_texts() -> None:
    facts = LICENCES["llama3.2"].attributes
    assert [*facts] == [*NAMES]
    assert len(facts) == len(NAMES)
    assert facts.get("price", "unknown") == "unknown"
    assert facts["patent_grant"] == "unknown"
    assert hash(LICENCES["llama3.2"]) != hash(LICENCES["llama3.3"])


FREE = row("a", None, "yyy", ShareAlike.NONE, Source.DEFINITION, restricted="n", notice="n", research="n",
           thresholds=(), territory=()).attributes  # fmt: skip
BINDING = ("commercial_use", "redistribute", "use_restrictions", "research_only")


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Mirror.OK),
        ({"modify": Answer.NO, "patent_grant": Answer.NO, "output_limits": None}, Mirror.OK),
        ({"notice": Answer.YES}, Mirror.NOTICE),
        ({"notice": Answer.UNKNOWN}, Mirror.NOTICE),
        ({"use_restrictions": Answer.YES}, Mirror.NOTICE),
        ({"share_alike": ShareAlike.FILE}, Mirror.NOTICE),
        ({"share_alike": ShareAlike.UNKNOWN}, Mirror.NOTICE),
        ({"redistribute": Answer.COND}, Mirror.NOTICE),
        ({"commercial_use": Answer.COND}, Mirror.REVIEW),
        ({"commercial_use": Answer.NO}, Mirror.REVIEW),
        ({"territory_excluded": ("EU",)}, Mirror.REVIEW),
        ({"territory_excluded": None}, Mirror.REVIEW),
        ({"thresholds": LICENCES["qwen"].attributes.thresholds}, Mirror.REVIEW),
        ({"thresholds": None}, Mirror.REVIEW),
        *(({name: Answer.UNKNOWN}, Mirror.REVIEW) for name in BINDING),
        ({"redistribute": Answer.NO, "thresholds": None}, Mirror.NO),
        ({"research_only": Answer.YES, "thresholds": None}, Mirror.NO),
    ],
    ids=str,
)
def test_what_an_internal_mirror_may_do(changed: dict[str, Any], verdict: Mirror) -> None:
    assert mirror(replace(FREE, **changed)) is verdict


@given(st.sampled_from(EVERY), st.sampled_from(NAMES))
def test_knowing_less_never_allows_more(entry: Any, name: str) -> None:
    """`no` may become `review`: a person looks at it then."""
    blank = {"share_alike": ShareAlike.UNKNOWN, "thresholds": None, "territory_excluded": None, "output_limits": None}
    less: Attributes = replace(entry.attributes, **{name: blank.get(name, Answer.UNKNOWN)})
    order = [Mirror.OK, Mirror.NOTICE, Mirror.REVIEW]
    assert entry.mirror is Mirror.NO or order.index(mirror(less)) >= order.index(entry.mirror)
    assert mirror(less) in (Mirror.REVIEW, Mirror.NO) or entry.mirror is not Mirror.NO


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert run(["rules", "licences", *arguments]) == code
    out, err = capsys.readouterr()
    return "\n".join(line.rstrip() for line in out.splitlines()), err


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = told(capsys)
    lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert lines["apache-2.0"][1:6] == ["Apache-2.0", "yes", "yes", "yes", "none"]
    assert lines["cc-by-nc-4.0"][-2:] == ["review", "D"]
    assert {*LICENCES} | {*KNOWN_FAMILIES} <= lines.keys()
    assert "\x1b" not in out
    assert "none" in next(line for line in told(capsys, "mit")[0].splitlines() if line.startswith("thresholds"))


def test_the_command_prints_one_entry_with_all_that_is_and_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = told(capsys, "Llama 3.2")
    lines = {line.split("  ")[0]: line for line in out.splitlines() if line}
    assert {*NAMES} <= lines.keys()
    assert "EU" in lines["territory_excluded"]
    assert lines["territory_excluded"].endswith("K  known, text not re-read")
    assert lines["modify"].endswith("S  text read")
    assert lines["research_only"].split()[1] == "no"
    assert "patent_grant" in lines["not known"]
    assert "ScanCode" in lines["source"]


def test_the_command_tells_programs_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(told(capsys, "--json")[0])
    assert [each["id"] for each in whole["licences"]] == [*LICENCES]
    assert {each["id"] for each in whole["families"]} == {*KNOWN_FAMILIES}
    assert whole["sources"]["?"]["confidence"] == "not verified"
    one = json.loads(told(capsys, "mit", "--json")[0])
    assert one == whole["licences"][1]
    assert one["attributes"]["modify"] == {"value": "yes", "source": "C"}
    assert one["attributes"]["thresholds"] == {"value": [], "source": "C"}
    assert one["spellings"] == [*spellings_of("mit")]
    assert json.loads(told(capsys, "gpl", "--json")[0])["members"] == ["gpl-2.0", "gpl-3.0"]


def test_a_family_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = told(capsys, "GPL")
    assert out.startswith("gpl is a family and no licence")
    assert "gpl-3.0" in out


@pytest.mark.parametrize(("name", "meant"), [("apache-20", "apache-2.0"), ("cc-by-nc-40", "cc-by-nc-4.0")])
def test_an_unknown_name_is_refused_with_what_may_be_meant(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = told(capsys, name, code=1)
    assert (out, near(name)[0]) == ("", meant)
    assert f"{name!r} is no licence that is known; did you mean {meant}" in err


def test_what_is_like_nothing_is_refused_without_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = told(capsys, "\x1b[31mzzzz", code=1)
    assert "did you mean" not in err
    assert "\x1b" not in err
