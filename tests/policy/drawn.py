"""Policies and facts for tests: from documents as YAML gives them, and drawn at random from a small world."""

from hypothesis import strategies as st

from proxy_addon.policy import cases
from proxy_addon.policy.compiled import Source, compiled
from proxy_addon.policy.facts import GATES, UNKNOWN, Facts, Gate
from proxy_addon.policy.globs import globs
from proxy_addon.policy.licences import canonical
from proxy_addon.policy.schema import RuleFile

NOW = 1_795_000_000.0


def _id(text):
    found = canonical(text, hub="huggingface")
    return found.id if found else text


def policy(*documents):
    files = [RuleFile.model_validate({"version": 1, **document}) for document in documents]
    lists = {name: listed.names or globs(["-"]) for file in files for name, listed in file.lists.items()}
    return compiled([Source(file, lambda key: f"rules.yaml:{key}") for file in files], lists, _id)


def facts(**given):
    return cases.facts({"repo": "a/b", **given}, NOW)


def bare(whole, keep=()):
    """What the request alone tells, and those facts besides."""
    kept = {name: v for name, v in whole.values.items() if GATES[name] is Gate.REQUEST or name in keep}
    return Facts(kept, {})


_UNKNOWN = st.sampled_from(["deny", "allow", "skip"])
_REPOS = st.sampled_from(["a/b", "a/*", "*/b", "a/b*", "**", "c/d", "gpt2", "*"])
_MATCHERS = {
    "hub": st.sampled_from(["huggingface", "modelscope"]),
    "type": st.sampled_from(["model", "dataset"]),
    "namespace": st.sampled_from(["a", "c", "*"]),
    "namespace_not_in": st.sampled_from([["a"], ["c", "a"]]),
    "repo": st.one_of(_REPOS, st.lists(_REPOS, min_size=1, max_size=3)),
    "path": st.sampled_from(["**/*.bin", "x.bin", "x/**", "*.json", "**"]),
    "revision": st.sampled_from(["main", "0" * 40]),
    "user": st.sampled_from(["eve", "e*"]),
    "license": st.sampled_from(
        ["mit", ["mit", "gpl-3.0"], "cc-*", {"commercial_use": "no"}, {"commercial_use": "yes", "on_unknown": "skip"}]
    ),
    "gated": st.sampled_from([True, False, "auto"]),
    "repo_size": st.sampled_from([">1GB", "<1GB"]),
    "revision_age": st.sampled_from(["<24h", ">=24h"]),
    "has_safetensors_twin": st.booleans(),
    "tags": st.sampled_from(["nsfw", "x*"]),
}
_MATCH = st.fixed_dictionaries({}, optional=_MATCHERS).filter(bool)
_BARRED = st.builds(lambda match, on: {**match, **({"on_unknown": on} if on else {})}, _MATCH, st.none() | _UNKNOWN)
_MODE = st.sampled_from([{}, {}, {"mode": "audit"}, {"mode": "enforce"}])


@st.composite
def documents(draw):
    rules = [
        {"id": f"r{n}", "effect": effect, "match": draw(_BARRED), **draw(_MODE)}
        for n, effect in enumerate(
            draw(st.lists(st.sampled_from(["deny", "deny", "allow", "require_approval"]), max_size=5))
        )
    ]
    classes = [
        {"id": f"c{n}", "class": name, "match": draw(_BARRED)}
        for n, name in enumerate(draw(st.lists(st.sampled_from(["restricted", "embargoed"]), max_size=2)))
    ]
    approvals = [{"id": f"a{n}", "match": draw(_MATCH), "approved_by": "x"} for n in range(draw(st.integers(0, 2)))]
    names = [rule["id"] for rule in rules] + [f"c{n}" for n, c in enumerate(classes) if c["class"] == "restricted"]
    exceptions = [
        {"id": f"e{n}", "match": draw(_MATCH), "overrides": [draw(st.sampled_from([*names, "defaults.decision"]))],
         "owner": "x", "expires": draw(st.sampled_from(["2026-01-01", "2027-01-01"]))}
        for n in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    defaults = draw(
        st.fixed_dictionaries(
            {"decision": st.sampled_from(["allow", "allow", "deny"])},
            optional={"unknown_license": st.sampled_from(["review", "deny", "allow"])},
        )
    )
    mode = draw(st.sampled_from([{}, {}, {}, {"mode": "audit"}]))
    return {
        **mode, "defaults": defaults, "rules": rules, "classifications": classes, "approvals": approvals,
        "exceptions": exceptions,
    }  # fmt: skip


_GIVEN = {
    "repo": st.sampled_from(["a/b", "A/B", "c/d", "gpt2", "a/bc"]),
    "hub": st.sampled_from(["huggingface", "modelscope"]),
    "type": st.sampled_from(["model", "dataset"]),
    "path": st.sampled_from([None, "x.bin", "x/y.BIN", "config.json"]),
    "revision": st.sampled_from([None, "main", "0" * 40]),
    "user": st.sampled_from([None, "eve"]),
    "license": st.sampled_from(["mit", "cc-by-nc-4.0", ["mit", "odd"], "gpl", "unknown", "mit AND gpl-3.0"]),
    "gated": st.sampled_from([False, "auto", "unknown"]),
    "repo_size": st.sampled_from(["1kB", "2GB", "unknown"]),
    "revision_age": st.sampled_from(["1h", "9d", "unknown"]),
    "has_safetensors_twin": st.booleans(),
    "tags": st.sampled_from([[], ["nsfw"], ["q", "xyz"], "unknown"]),
}
given_facts = st.fixed_dictionaries(_GIVEN).map(lambda given: facts(**given))
known = st.sets(st.sampled_from(sorted(name for name, gate in GATES.items() if gate is not Gate.REQUEST)))
__all__ = ["NOW", "UNKNOWN", "bare", "documents", "facts", "given_facts", "known", "policy"]
