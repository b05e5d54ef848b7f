import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.policy.facts import Facts
from proxy_addon.policy.index import PENDING, Index, Tier
from proxy_addon.policy.judge import Allow, Deny, Need, aged, filled
from tests.policy.drawn import NOW, bare, documents, facts, given_facts, known, policy

EMBARGO = {"classifications": [{"id": "emb", "class": "embargoed", "match": {"repo": "a/*"}}]}
NONCOMMERCIAL = {
    "id": "nc", "effect": "deny", "match": {"license": {"commercial_use": "no"}}, "owner": "legal@example.org",
    "reason": "Licence {license.id} does not allow commercial use.",
}  # fmt: skip


def rule(id="r", effect="deny", mode=None, **match):
    return {"id": id, "effect": effect, "match": match, **({"mode": mode} if mode else {})}


def exempt(*overrides, expires="2027-01-01", **match):
    return {"id": "ex", "match": match or {"repo": "a/*"}, "overrides": [*overrides], "owner": "x", "expires": expires}


def approval(**more):
    return {"id": "ap", "match": {"repo": "a/*"}, "approved_by": "x", **more}


def judged(document, **given):
    return policy(document).judge(facts(**given), NOW)


def test_an_empty_policy_allows():
    assert judged({}) == Allow()


def test_a_denial_has_all_that_its_reader_needs():
    document = {"rules": [NONCOMMERCIAL], "defaults": {"contact": "gov@example.org", "request_url": "https://t/{repo}"}}
    assert judged(document, license="cc-by-nc-4.0") == Deny(
        "nc", "rules.yaml:rules[0]", Tier.DENY, "Licence cc-by-nc-4.0 does not allow commercial use.",
        "legal@example.org", "gov@example.org", "https://t/{repo}", ("nc",),
    )  # fmt: skip
    assert judged(document, license="mit") == Allow()


def test_an_embargo_is_lifted_by_nothing_and_needs_nothing_but_the_request():
    document = {**EMBARGO, "rules": [NONCOMMERCIAL], "exceptions": [exempt("emb")], "approvals": [approval()]}
    answer = policy(document).judge(bare(facts()), NOW)
    assert isinstance(answer, Deny) and (answer.rule, answer.tier) == ("emb", Tier.EMBARGO)


def test_the_lower_tier_speaks_first_and_all_ids_are_told():
    document = {
        "classifications": [{"id": "res", "class": "restricted", "match": {"repo": "a/b"}}],
        "rules": [rule("wide", repo="**"), rule("approve", "require_approval", repo="a/b")],
        "scan": {"hub_scan": {}},
    }
    answer = judged(document, hub_scan="unsafe")
    assert (answer.rule, answer.ids) == ("wide", ("approve", "res", "scan.hub_scan", "wide"))
    del document["rules"][0]
    assert judged(document, hub_scan="unsafe").tier is Tier.APPROVAL
    document["approvals"] = [approval()]
    assert judged(document, hub_scan="unsafe").rule == "scan.hub_scan"
    assert judged(document) == Allow(("ap",))


def test_the_most_specific_of_several_gives_the_message():
    rules = [rule("z-narrow", repo="a/bc*"), rule("a-wide", repo="a/*"), rule("b-wide", repo="a/*")]
    assert judged({"rules": rules}, repo="a/bcd").rule == "z-narrow"
    assert judged({"rules": rules}, repo="a/x").rule == "a-wide"


@pytest.mark.parametrize(
    ("exception", "passes"),
    [
        (exempt("r"), True),
        (exempt("other"), False),
        (exempt("r", expires="2026-01-01"), False),
        (exempt("r", repo="c/*"), False),
        (exempt("r", repo="a/b", license="mit"), False),  # not known: not in scope
    ],
)
def test_an_exception_lifts_what_it_names_where_and_while_it_holds(exception, passes):
    answer = judged({"rules": [rule(repo="a/b")], "exceptions": [exception]})
    assert answer == Allow(("ex",)) if passes else answer.rule == "r"


def test_an_exception_ends_with_its_day_in_utc():
    made = policy({"rules": [rule(repo="a/b")], "exceptions": [exempt("r", expires="2026-12-31")]})
    new_year = 1_798_761_600.0
    assert isinstance(made.judge(facts(), new_year - 1), Allow)
    assert isinstance(made.judge(facts(), new_year), Deny)


def test_an_exception_from_one_rule_leaves_the_others():
    document = {"rules": [rule("r", repo="a/b"), rule("s", repo="a/*")], "exceptions": [exempt("r")]}
    assert judged(document).ids == ("s",)


def test_an_approval_lifts_no_deny_rule():
    assert judged({"rules": [rule(repo="a/b")], "approvals": [approval()]}).rule == "r"
    wanted = {"rules": [rule(effect="require_approval", repo="a/b")]}
    assert judged({**wanted, "approvals": [approval()]}) == Allow(("ap",))
    assert judged({**wanted, "approvals": [approval(expires="2026-01-01")]}).tier is Tier.APPROVAL


def test_an_allow_list():
    document = {"defaults": {"decision": "deny"}, "rules": [rule("ok", "allow", namespace="a")]}
    assert judged(document) == Allow(("ok",))
    assert judged(document, repo="c/d").rule == "defaults.decision"
    assert judged({**document, "exceptions": [exempt("defaults.decision", repo="c/d")]}, repo="c/d") == Allow(("ex",))
    assert judged({**document, "rules": [*document["rules"], rule("no", repo="a/b")]}).rule == "no"


@pytest.mark.parametrize("where", ["rule", "all"])
def test_audit_denies_nothing_and_tells(where):
    mode = {"mode": "audit"} if where == "all" else {}
    answer = judged({**mode, "rules": [rule(mode="audit" if where == "rule" else None, repo="a/b")]})
    assert isinstance(answer, Allow) and [(s.rule, s.reason) for s in answer.audit] == [
        ("r", "a/b is denied by this rule.")
    ]


def test_a_rule_of_its_own_mode_is_enforced_while_the_rest_is_tried():
    answer = judged({"mode": "audit", "rules": [rule("s", repo="a/b"), rule(mode="enforce", repo="a/b")]})
    assert (answer.rule, answer.ids, [spoke.rule for spoke in answer.audit]) == ("r", ("r",), ["s"])


@pytest.mark.parametrize(
    ("match", "default", "denied"),
    [
        ({"license": "mit"}, {}, Tier.APPROVAL),
        ({"license": "mit"}, {"unknown_license": "deny"}, Tier.DENY),
        ({"license": "mit"}, {"unknown_license": "allow"}, None),
        ({"license": "mit", "on_unknown": "skip"}, {}, None),
        ({"license": {"id": "mit", "on_unknown": "allow"}}, {}, None),
        ({"license": "mit", "on_unknown": "deny"}, {}, Tier.DENY),
        ({"gated": True}, {}, Tier.DENY),
        ({"tags": "x"}, {}, None),
        ({"tags": "x", "on_unknown": "deny"}, {}, Tier.DENY),
    ],
)
def test_what_is_not_known(match, default, denied):
    answer = judged({"rules": [rule(**match)], "defaults": default}, license="unknown", gated="unknown", tags="unknown")
    assert getattr(answer, "tier", None) is denied
    assert denied is None or "not known" in answer.reason


def test_an_unknown_licence_is_held_everywhere_once_that_is_written():
    for facts_of in ({}, {"license": "gpl"}, {"license": ["mit", "odd"]}):
        answer = judged({"defaults": {"unknown_license": "review"}}, **facts_of)
        assert (answer.rule, answer.tier) == ("defaults.unknown_license", Tier.APPROVAL)
    assert judged({"defaults": {"unknown_license": "review"}}, license="mit") == Allow()


def test_of_several_licences_a_deny_rule_looks_for_any_and_an_allow_rule_wants_all():
    both = ["mit", "cc-by-nc-4.0"]
    assert judged({"rules": [NONCOMMERCIAL]}, license=both).rule == "nc"
    listed = {"defaults": {"decision": "deny"}, "rules": [rule("ok", "allow", license="mit")]}
    assert judged(listed, license=both).rule == "defaults.decision"
    assert judged(listed, license=["MIT"]) == Allow(("ok",))
    assert judged({"rules": [rule(license="gpl-3.0")]}, license="mit AND gpl-3.0").rule == "r"


def test_conditions_are_a_yes_only_for_who_accepts_them():
    for more, answer in (({}, Deny), ({"accept_conditional": True}, Allow)):
        match = {"license": {"commercial_use": "yes", **more}}
        document = {"defaults": {"decision": "deny"}, "rules": [rule("ok", "allow", **match)]}
        assert isinstance(judged(document, license="llama3.1"), answer)


def test_facts_are_asked_for_only_where_they_decide():
    made = policy({"rules": [{**NONCOMMERCIAL, "match": {**NONCOMMERCIAL["match"], "type": "model"}}]})
    need = made.judge(bare(facts()), NOW)
    assert need == Need(frozenset({"license"}))
    assert made.judge(bare(facts(type="dataset")), NOW) == Allow()


def test_a_commit_is_looked_up_for_an_exception_that_names_one():
    made = policy({"rules": [rule(repo="a/b")], "exceptions": [exempt("r", revision="0" * 40)]})
    asked = Facts.of_request(hub="huggingface", type="model", repo="a/b", revision="main")
    assert made.judge(asked, NOW) == Need(frozenset({"commit"}))
    assert made.judge(asked.told("hub", commit="0" * 40), NOW) == Allow(("ex",))
    assert isinstance(made.judge(asked.told("hub", commit="1" * 40), NOW), Deny)


@pytest.mark.parametrize(
    ("scan", "given", "denied"),
    [
        ({"pickle": {"allow_imports": ["torch._utils.*"]}}, {"pickle_imports": ["torch._utils.x"]}, None),
        ({"pickle": {"allow_imports": ["torch._utils.*"]}}, {"pickle_imports": ["os.system"]}, "scan.pickle"),
        ({"pickle": {}}, {"pickle_imports": "unknown"}, "scan.on_error"),
        ({"pickle": {}, "on_error": "allow"}, {"pickle_imports": "unknown"}, None),
        ({"pickle": {"action": "allow"}}, {"pickle_imports": "unknown"}, None),
        ({"gguf_template": {}}, {"template": "unsafe"}, "scan.gguf_template"),
        ({"hub_scan": {}}, {"hub_scan": "suspicious"}, "scan.hub_scan"),
        ({"hub_scan": {}}, {"hub_scan": "caution"}, None),
    ],
)
def test_scans(scan, given, denied):
    answer = judged({"scan": scan}, path="x.bin", **given)
    assert getattr(answer, "rule", None) == denied


def test_a_warning_of_a_scan_is_told():
    assert [spoke.rule for spoke in judged({"scan": {"hub_scan": {}}}, hub_scan="caution").audit] == ["scan.hub_scan"]


def test_ages_are_counted_from_now():
    made = policy({"rules": [rule(revision_age="<24h")]})
    fresh = facts(revision_age="1h")
    assert isinstance(made.judge(fresh, NOW), Deny) and made.judge(fresh, NOW + 86400) == Allow()


DAY = 86400.0
NEW_YEAR = 1_798_761_600.0
TWO_AGES = [rule(revision_age="<24h"), rule("s", revision_age=">48h")]


@pytest.mark.parametrize(
    ("document", "given", "until"),
    [
        ({"rules": [rule(repo="a/b")]}, {"revision_age": "1h"}, float("inf")),
        ({"exceptions": [exempt("r", expires="2026-12-31")]}, {}, NEW_YEAR),
        ({"approvals": [approval(expires="2026-12-31"), {**approval(expires="2027-12-31"), "id": "x"}]}, {}, NEW_YEAR),
        ({"approvals": [approval(expires="2026-01-01")]}, {}, float("inf")),
        ({"rules": [rule(revision_age="<24h")]}, {"revision_age": "1h"}, NOW + DAY - 3600),
        ({"rules": TWO_AGES}, {"revision_age": "1d"}, NOW),
        ({"rules": TWO_AGES}, {"revision_age": "30h"}, NOW + 0.75 * DAY),
        ({"rules": [rule(revision_age="<24h")]}, {"revision_age": "9d"}, float("inf")),
        ({"rules": [rule(revision_age="<24h")]}, {"revision_age": "unknown"}, float("inf")),
    ],
)  # fmt: skip
def test_until_when_time_alone_changes_nothing(document, given, until):
    assert policy({"rules": [rule()], **document}).until(facts(**given), NOW) == until


@given(documents(), given_facts, known, st.floats(0, 1, exclude_max=True), st.integers(-40, 40))
@settings(max_examples=150, deadline=None)
def test_before_its_end_an_answer_is_the_same(document, whole, keep, part, days):
    made, some, now = policy(document), bare(whole, keep), NOW + days * DAY
    until = min(made.until(some, now), now + 1000 * DAY)
    later = now + part * (until - now)
    assert made.judge(some, later) == made.judge(some, now)


def test_what_is_remembered_of_repos_has_a_bound():
    entries = policy({"rules": [rule(f"r{n}", repo="a/*", path=f"x{n}/**") for n in range(10)]}).barriers
    index = Index(entries, room=10_000)
    for n in range(1000):
        index.heard(facts(repo=f"a/{n}", client="10.0.0.1").values, NOW)
        for client in range(30 * (n == 999)):
            index.heard(facts(repo=f"a/{n}", client=f"10.0.0.{client}").values, NOW)
    assert 0 < len(index) <= 50


def test_what_is_put_into_a_reason_is_not_read_again():
    assert filled("{repo} {path} {rule} {x}", {"repo": "{path}", "path": None}, "id") == "{path} none id unknown"


def verdict(answer):
    return answer.facts if isinstance(answer, Need) else type(answer)


@given(documents(), given_facts, st.randoms(use_true_random=False), known)
@settings(max_examples=150, deadline=None)
def test_no_order_of_files_or_rules_changes_an_answer(document, whole, chance: random.Random, keep):
    parts = []
    for key in ("rules", "classifications", "approvals", "exceptions"):
        parts += [{key: [item]} for item in document.pop(key)]
    parts.append(document)
    some = bare(whole, keep)
    before = policy(*parts)
    chance.shuffle(parts)
    after = policy(*parts)
    assert (verdict(before.judge(some, NOW)), after.digest) == (verdict(after.judge(some, NOW)), before.digest)
    one, other = before.judge(whole, NOW), after.judge(whole, NOW)
    assert getattr(one, "rule", None) == getattr(other, "rule", None)
    assert getattr(one, "ids", getattr(one, "by", None)) == getattr(other, "ids", getattr(other, "by", None))


@given(documents(), documents(), given_facts, known)
@settings(max_examples=150, deadline=None)
def test_one_more_barrier_never_lets_more_pass(document, more, whole, keep):
    some = bare(whole, keep)
    barriers = [{**rule, "id": f"more-{rule['id']}"} for rule in more["rules"] if rule["effect"] != "allow"]
    before = policy(document).judge(some, NOW)
    after = policy(document, {"rules": barriers}).judge(some, NOW)
    assert isinstance(before, Allow) or not isinstance(after, Allow)


@given(documents(), documents(), given_facts, known)
@settings(max_examples=150, deadline=None)
def test_exceptions_and_approvals_never_touch_an_embargo(document, more, whole, keep):
    some = bare(whole, keep)
    ids = [each["id"] for kind in ("rules", "classifications") for each in document[kind]]
    wide = {"id": "more", "match": {"repo": ["**"]}, "overrides": ids or ["x"], "owner": "x", "expires": "2027-01-01"}
    before = policy(document).judge(some, NOW)
    after = policy(document, {"exceptions": [wide]}).judge(some, NOW)
    assert (getattr(before, "tier", None) is Tier.EMBARGO) <= (getattr(after, "tier", None) is Tier.EMBARGO)


@given(documents(), given_facts, known, known)
@settings(max_examples=150, deadline=None)
def test_with_fewer_facts_the_answer_is_need_or_the_same(document, whole, keep, more):
    made = policy(document)
    answers = [made.judge(each, NOW) for each in (bare(whole, keep), bare(whole, keep | more), whole)]
    assert not isinstance(answers[-1], Need)
    for early, late in ((0, 1), (1, 2), (0, 2)):
        assert isinstance(answers[early], Need) or type(answers[early]) is type(answers[late])
    assert all(answer.facts.isdisjoint(keep) for answer in answers[:1] if isinstance(answer, Need))


@given(documents(), given_facts, known)
@settings(max_examples=150, deadline=None)
def test_the_index_leaves_out_only_what_would_say_no(document, whole, keep):
    made, some = policy(document), aged(bare(whole, keep).values, NOW)
    for entries in (made.barriers, made.allows, made.approvals):
        in_force = [entry for entry in entries if entry.expires is None or entry.expires > NOW]
        states = {entry.id: entry.state(some) for entry in in_force}
        waiting = {fact for entry in in_force if states[entry.id] == PENDING for fact in entry.missing(some)}
        index = Index(entries)
        for _ in range(2):  # found out, then remembered
            matched, absent = index.heard(some, NOW)
            heard = {entry.id: state for entry, state in matched}
            assert heard == {id: state for id, state in states.items() if state and state != PENDING}
            assert (len(heard), absent) == (len(matched), waiting)


def test_a_policy_is_never_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy({}).barriers = ()


@given(documents(), st.lists(given_facts, min_size=2, max_size=6), known)
@settings(max_examples=150, deadline=None)
def test_what_is_remembered_of_one_repo_is_not_taken_for_another(document, several, keep):
    made = policy(document)
    for whole in (*several, *several):
        for some in (whole, bare(whole, keep)):
            assert made.judge(some, NOW) == policy(document).judge(some, NOW)


@pytest.mark.parametrize(
    ("match", "first", "then"),
    [
        ({"path": "x/**"}, {"path": "y/z"}, {"path": "x/z"}),
        ({"path": "**/*.bin"}, {"path": "y.json"}, {"path": "y.bin"}),
        ({"user": "eve"}, {"user": "bob"}, {"user": "eve"}),
        ({"user": "e*"}, {"user": "bob"}, {"user": "eve"}),
        ({"client": "10.0.0.0/8"}, {"client": "192.0.2.1"}, {"client": "10.0.0.1"}),
        ({"revision": "v1"}, {"revision": "main"}, {"revision": "v1"}),
        ({"revision": "0" * 40}, {"revision": "1" * 40}, {"revision": "0" * 40}),
        ({"revision_age": "<24h"}, {"revision_age": "9d"}, {"revision_age": "1h"}),
        ({"revision_age": "<24h", "on_unknown": "skip"}, {"revision_age": "unknown"}, {"revision_age": "1h"}),
        ({"digest": "sha256:1"}, {"digest": "sha256:2"}, {"digest": "sha256:1"}),
        ({"pickle_imports": "os.*"}, {"pickle_imports": ["torch"]}, {"pickle_imports": ["os.system"]}),
        ({"template": "unsafe"}, {"template": "safe"}, {"template": "unsafe"}),
        ({"license": "mit"}, {"license": "apache-2.0"}, {"license": "mit"}),
        ({"gated": True}, {"gated": False}, {"gated": "auto"}),
        ({"tags": "x"}, {"tags": ["y"]}, {"tags": ["x"]}),
    ],
)
def test_another_file_or_state_of_a_repo_is_judged_by_itself(match, first, then):
    made = policy({"rules": [rule(**match)]})
    answers = [type(made.judge(facts(**given), NOW)) for given in (first, then, first)]
    assert answers == [Allow, Deny, Allow]
