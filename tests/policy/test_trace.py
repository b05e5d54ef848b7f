"""What is told of a decision is what the judge decided, and what is said to change it does."""

import pytest
from hypothesis import given, settings

from proxy_addon.policy.index import Tier
from proxy_addon.policy.judge import Allow, Deny, Need
from proxy_addon.policy.otherwise import What, applied, changes
from proxy_addon.policy.trace import Finding, Outcome, Said, trace
from tests.policy.drawn import NOW, bare, documents, facts, given_facts, known, policy


def rule(id="r", effect="deny", mode=None, **match):
    return {"id": id, "effect": effect, "match": match, **({"mode": mode} if mode else {})}


def exempt(*overrides, id="ex", expires="2027-01-01", **match):
    return {"id": id, "match": match or {"repo": "a/*"}, "overrides": [*overrides], "owner": "x", "expires": expires}


def approval(id="ap", **more):
    return {"id": id, "match": {"repo": "a/*"}, "approved_by": "x", **more}


def traced(document, **given):
    return trace(policy(document), facts(**given), NOW)


def step(document, id, **given):
    (found,) = [each for each in traced(document, **given).steps if each.id == id]
    return found


def suggested(document, some=None, **given):
    made, about = policy(document), some or facts(**given)
    found = changes(made, about, trace(made, about, NOW))
    return [(change.what, change.names, type(change.answer)) for change in found]


@given(documents(), given_facts, known)
@settings(max_examples=400, deadline=None)
def test_what_is_told_is_what_the_judge_decided(document, whole, keep):
    made, some = policy(document), bare(whole, keep)
    told, answer = trace(made, some, NOW), made.judge(some, NOW)
    assert told.answer == answer
    denying = tuple(sorted(each.id for each in told.of(Outcome.DENIES)))
    grants = ("allow", "exception", "approval")
    waits = frozenset().union(*(each.waits for each in told.steps if each.kind not in grants))
    decided = [each.id for each in told.steps if each.decided]
    if isinstance(answer, Deny):
        assert (denying, decided) == (answer.ids, [answer.rule])
        (deciding,) = [each for each in told.steps if each.decided]
        assert (deciding.tier, deciding.reason, deciding.place) == (answer.tier, answer.reason, answer.place)
    elif isinstance(answer, Need):
        assert (denying, waits) == ((), answer.facts) and decided
    else:
        assert (denying, waits, sorted(decided)) == ((), frozenset(), [*answer.by])
        assert sorted(each.id for each in told.of(Outcome.LETS_PASS)) == [*answer.by]
    if not isinstance(answer, Need):
        heard = sorted((each.id, each.reason) for each in told.of(Outcome.WOULD_DENY))
        assert heard == [(spoke.rule, spoke.reason) for spoke in answer.audit]


@given(documents(), given_facts, known)
@settings(max_examples=400, deadline=None)
def test_what_is_said_to_change_the_decision_changes_it(document, whole, keep):
    made, some = policy(document), bare(whole, keep)
    told = trace(made, some, NOW)
    found = changes(made, some, told)
    for change in found:
        other, about, now = applied(change, made, some, NOW)
        assert other.judge(about, now) == change.answer
        assert type(change.answer) is not type(told.answer)
    if isinstance(told.answer, Deny):
        assert (What.WITHOUT, told.answer.ids) in [(change.what, change.names) for change in found]
    if isinstance(told.answer, Need):
        assert [change.what for change in found] == [What.KNOWN]


def test_a_rule_that_does_not_match_names_the_fact_that_says_no():
    document = {"rules": [rule(repo="a/*", path="**/*.bin", tags="nsfw")]}
    found = step(document, "r", path="x.json")
    assert found.outcome is Outcome.NO_MATCH and found.relevant
    said = [Finding("repo", Said.YES), Finding("path", Said.NO), Finding("tags", Said.NO)]
    assert sorted(found.findings, key=str) == sorted(said, key=str)


@pytest.mark.parametrize(
    ("match", "given", "relevant"),
    [
        ({"repo": "c/*"}, {}, False),
        ({"namespace": "c"}, {}, False),
        ({"type": "dataset"}, {}, False),
        ({"user": "eve"}, {"user": "bob"}, False),
        ({"user": "eve", "on_unknown": "skip"}, {"user": "unknown"}, False),
        ({"license": "mit"}, {"license": "gpl-3.0"}, True),
        ({"path": "x"}, {"path": "y"}, True),
        ({"repo": "a/*"}, {}, True),
    ],
)
def test_a_rule_about_others_is_plainly_irrelevant(match, given, relevant):
    assert step({"rules": [rule(**match)]}, "r", **given).relevant is relevant


@pytest.mark.parametrize(
    ("match", "default", "said", "outcome", "tier"),
    [
        ({"license": "mit"}, {}, Said.UNKNOWN_REVIEW, Outcome.DENIES, Tier.APPROVAL),
        ({"license": "mit"}, {"unknown_license": "deny"}, Said.UNKNOWN_YES, Outcome.DENIES, Tier.DENY),
        ({"license": "mit"}, {"unknown_license": "allow"}, Said.UNKNOWN_NO, Outcome.NO_MATCH, Tier.DENY),
        ({"tags": "x"}, {}, Said.UNKNOWN_NO, Outcome.NO_MATCH, Tier.DENY),
        ({"gated": True}, {}, Said.UNKNOWN_YES, Outcome.DENIES, Tier.DENY),
    ],
)
def test_what_is_not_known_and_what_that_came_to(match, default, said, outcome, tier):
    document = {"rules": [rule(**match)], "defaults": default}
    found = step(document, "r", license="unknown", tags="unknown", gated="unknown")
    assert (found.findings[0].said, found.outcome, found.tier) == (said, outcome, tier)


def test_what_nobody_has_asked_for_is_pending():
    made = policy({"rules": [rule(license="mit", gated=True)]})
    (found,) = trace(made, bare(facts(), {"gated"}), NOW).steps
    assert (found.outcome, found.waits) == (Outcome.NO_MATCH, frozenset())
    (found,) = trace(made, bare(facts(gated="auto"), {"gated"}), NOW).steps
    assert (found.outcome, found.waits, found.decided) == (Outcome.PENDING, {"license"}, True)
    assert Finding("license", Said.ABSENT) in found.findings


def test_what_lifts_a_rule_and_what_does_not():
    document = {
        "rules": [rule(repo="a/b"), rule("s", "require_approval", repo="a/b"), rule("ok", "allow", repo="a/b")],
        "exceptions": [exempt("r"), exempt("r", id="old", expires="2026-01-01"), exempt("s", id="far", repo="c/d")],
        "approvals": [approval(), approval("late", expires="2026-01-01")],
    }
    outcomes = {each.id: (each.outcome, each.lifted_by) for each in traced(document).steps}
    assert outcomes == {
        "r": (Outcome.LIFTED, ("ex",)), "s": (Outcome.LIFTED, ("ap",)), "ok": (Outcome.UNUSED, ()),
        "ex": (Outcome.LETS_PASS, ()), "old": (Outcome.EXPIRED, ()), "far": (Outcome.NO_MATCH, ()),
        "ap": (Outcome.LETS_PASS, ()), "late": (Outcome.EXPIRED, ()),
    }  # fmt: skip
    assert traced(document).answer == Allow(("ap", "ex"))


def test_an_embargo_stands_whatever_names_it():
    embargo = {"classifications": [{"id": "emb", "class": "embargoed", "match": {"repo": "a/b"}}]}
    told = traced({**embargo, "exceptions": [exempt("emb")], "approvals": [approval()]})
    assert [each.id for each in told.of(Outcome.DENIES)] == ["emb"] == [*told.answer.ids]
    assert [each.id for each in told.of(Outcome.UNUSED)] == ["ex", "ap"]


def test_a_rule_that_a_pending_exception_names_is_pending_itself():
    document = {"rules": [rule(repo="a/b")], "exceptions": [exempt("r", revision="0" * 40)]}
    told = trace(policy(document), bare(facts(revision="main")), NOW)
    assert [(each.outcome, each.waits) for each in told.steps] == [(Outcome.PENDING, {"commit"})] * 2
    assert isinstance(told.answer, Need) and [each.decided for each in told.steps] == [True, False]


def test_an_allow_list_step_by_step():
    document = {"defaults": {"decision": "deny"}, "rules": [rule("ok", "allow", namespace="a")]}
    assert step(document, "defaults.decision").lifted_by == ("ok",) and step(document, "ok").decided
    found = step(document, "defaults.decision", repo="c/d")
    assert (found.outcome, found.kind, found.decided) == (Outcome.DENIES, "default", True)
    assert found.reason == "c/d is not on the list of what is allowed."


def test_a_barrier_in_audit_mode_would_deny():
    found = step({"rules": [rule(mode="audit", repo="a/b")]}, "r")
    assert (found.outcome, found.audit, found.decided) == (Outcome.WOULD_DENY, True, False)


def test_ways_out_of_a_denial():
    both = {"rules": [rule(repo="a/b"), rule("s", repo="a/*")]}
    assert suggested(both) == [(What.EXCEPTION, ("r", "s"), Allow), (What.WITHOUT, ("r", "s"), Allow)]
    wanted = {"rules": [rule(effect="require_approval", repo="a/b")], "approvals": [approval(expires="2026-01-01")]}
    assert suggested(wanted) == [
        (What.RENEWED, ("ap",), Allow), (What.APPROVAL, (), Allow), (What.EXCEPTION, ("r",), Allow),
        (What.WITHOUT, ("r",), Allow),
    ]  # fmt: skip
    embargo = {"classifications": [{"id": "emb", "class": "embargoed", "match": {"repo": "a/b"}}]}
    assert suggested(embargo) == [(What.WITHOUT, ("emb",), Allow)]
    listed = {"defaults": {"decision": "deny"}}
    assert suggested(listed)[:2] == [
        (What.ALLOWED, (), Allow),
        (What.EXCEPTION, ("defaults.decision",), Allow),
    ]


def test_a_fact_that_is_not_known_may_be_the_way_out():
    noncommercial = {"rules": [rule(license={"commercial_use": "no"})]}
    assert (What.KNOWN, ("license",), Allow) in suggested(noncommercial, license="unknown")
    assert (What.KNOWN, ("license",), Allow) not in suggested(noncommercial, license="cc-by-nc-4.0")
    passing = {"rules": [rule(license={"commercial_use": "no", "on_unknown": "skip"})]}
    assert suggested(passing, license="unknown") == [(What.KNOWN, ("license",), Deny)]
    assert suggested(noncommercial, some=bare(facts())) == [(What.KNOWN, ("license",), Allow)]


def test_what_lets_pass_may_end():
    document = {"rules": [rule(repo="a/b")], "exceptions": [exempt("r", expires="2026-12-31")]}
    assert suggested(document) == [(What.LATER, ("ex",), Deny), (What.WITHOUT, ("ex",), Deny)]
    assert suggested({"rules": [rule(mode="audit", repo="a/b")]}) == [(What.ENFORCED, ("r",), Deny)]
    assert suggested({}) == []
