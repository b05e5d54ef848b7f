"""The table, second half: licences written for models, by the hub's id or by the `license_name` beside `other`.

`rights` is commercial use, modifying, redistributing. What a line leaves out is unknown. Where a text was read, a limit
that matters is in its line; a limit on patents was not looked for. A fact that changes here changes what rules decide.
"""

from __future__ import annotations

from .terms import Licence, Measure, OutputLimit, ShareAlike, Source, Threshold, row

S, Q, K, UNVERIFIED = Source.SCANCODE, Source.QUOTED, Source.KNOWN, Source.UNVERIFIED
NONE, USE_TERMS, UNKNOWN = ShareAlike.NONE, ShareAlike.USE_TERMS, ShareAlike.UNKNOWN
NO_TRAINING, NAMED = OutputLimit.NO_TRAINING, OutputLimit.NAMED
DERIVED, NONCOMMERCIAL = OutputLimit.DERIVED, OutputLimit.NONCOMMERCIAL
USERS, MONTHLY, ANNUAL = Measure.MONTHLY_USERS, Measure.MONTHLY_REVENUE, Measure.ANNUAL_REVENUE
MILLION = 1_000_000


def _rail(id: str, notes: str) -> Licence:
    """Open, with limits of use that go on to whoever gets a copy."""
    limits = f"{notes} Limits of use flow down as enforceable terms; give a copy of the licence; state changes."
    return row(
        id, None, "yyy", USE_TERMS, S, limits,
        restricted="y", notice="y", research="n", thresholds=(), territory=(), outputs=(),
    )  # fmt: skip


def _llama(id: str, spoken: str, notes: str, outputs: OutputLimit, territory: tuple[str, ...] = ()) -> Licence:
    needs = Threshold(USERS, 700 * MILLION, "needs a licence from Meta (counted when the model was released)")
    return row(
        id, None, "cyy", USE_TERMS, S, f"Acceptable use policy; NOTICE file; {spoken}.{notes}",
        restricted="y", notice="y", research="n", thresholds=(needs,), territory=territory, outputs=(outputs,),
        but={"territory_excluded": K} if territory else None,
    )  # fmt: skip


def _research(id: str, notes: str, share: ShareAlike = USE_TERMS) -> Licence:
    return row(id, None, "ncc", share, K, notes, restricted="y", research="y")


def _unread(id: str, notes: str) -> Licence:
    return row(id, None, "???", UNKNOWN, UNVERIFIED, notes)


_BUILT = 'show "Built with Llama"; names of derived models start with "Llama"'
_SHOWN = 'show "Kimi K2"'
_MULTIMODAL = " Multimodal models are not licensed to persons and companies of the EU."

TABLE: tuple[Licence, ...] = (
    row(
        "openmdw-1.0", "OpenMDW-1.0", "yyy", NONE, S,
        "Keep the agreement and notices; ends for who sues over patents. Outputs are free.",
        patent="y", restricted="n", notice="y", research="n", thresholds=(), territory=(), outputs=(),
        but={"patent_grant": Q},
    ),
    _unread("openmdw-1.1", "Its steward calls it permissive, as 1.0 is; the text was not read."),
    _rail("bigscience-openrail-m", "Use the latest version where reasonable; no medical advice or legal decisions."),
    _rail("bigscience-bloom-rail-1.0", "BLOOM."),
    _rail("creativeml-openrail-m", "Stable Diffusion 1.x."),
    _rail("bigcode-openrail-m", "StarCoder."),
    row(
        "openrail++", None, "yyy", USE_TERMS, K, "SDXL, Stable Diffusion 2. Limits of use flow down.",
        restricted="y", research="n",
    ),
    _llama("llama2", "show the notice", " Not to improve other language models.", NO_TRAINING),
    _llama(
        "llama3",
        'show "Built with Meta Llama 3"; names of derived models start with "Llama 3"',
        " Not to improve other language models.",
        NO_TRAINING,
    ),
    _llama("llama3.1", _BUILT, " May train other models, under that name.", NAMED),
    _llama("llama3.2", _BUILT, _MULTIMODAL, NAMED, ("EU",)),
    _llama("llama3.3", _BUILT, "", NAMED),
    _llama("llama4", _BUILT, f"{_MULTIMODAL} All of Llama 4 is multimodal.", NAMED, ("EU",)),
    row(
        "gemma", None, "yyy", USE_TERMS, S,
        "Prohibited use policy, which flows down; give a copy, mark changes, NOTICE text. Google may restrict use."
        " Distilled models count as derived. Gemma 4 is Apache-2.0.",
        restricted="y", notice="y", research="n", thresholds=(), territory=(), outputs=(DERIVED,),
    ),
    _unread(
        "grok2-community",
        "Said to forbid training other models and to allow fine-tuning of Grok 2; sources disagree on a revenue limit.",
    ),
    _research("deepfloyd-if-license", "Research licence."),
    _research("fair-noncommercial-research-license", "Non-commercial research; acceptable use policy."),
    _research("apple-amlr", "Research purposes only."),
    row(
        "apple-ascl", None, "yyy", NONE, Q, "As BSD: copyright only, no patent licence, no endorsement.",
        patent="n", restricted="n", notice="y", research="n", thresholds=(), territory=(), outputs=(),
    ),
    _research("intel-research", "Research use."),
    _research("h-research", "Research, non-commercial."),
    row(
        "deepseek", None, "yyy", USE_TERMS, S,
        "Model licence 1.0. Limits of use flow down; law of the PRC. Newer DeepSeek releases are plain MIT.",
        restricted="y", notice="y", research="n", thresholds=(), territory=(), outputs=(),
        but={"modify": K, "notice": K},
    ),
    row(
        "tongyi-qianwen", None, "cyy", UNKNOWN, S, "NOTICE file; not to improve other language models.",
        notice="y", research="n", thresholds=(Threshold(USERS, 100 * MILLION, "needs a licence from Alibaba Cloud"),),
        territory=(), outputs=(NO_TRAINING,), but={"modify": K},
    ),
    row(
        "qwen", None, "cyy", UNKNOWN, S, "NOTICE file.",
        notice="y", research="n", thresholds=(Threshold(USERS, 100 * MILLION, "needs a licence from Alibaba Cloud"),),
        territory=(), but={"modify": K},
    ),
    _research("qwen-research", "Non-commercial research.", UNKNOWN),
    row(
        "stability-ai-community", None, "cyy", UNKNOWN, S, 'NOTICE file; "Powered by Stability AI".',
        notice="y", research="n", thresholds=(Threshold(ANNUAL, MILLION, "commercial use needs a licence"),),
        territory=(), but={"modify": K},
    ),
    row(
        "flux-1-dev-non-commercial-license", None, "ncc", UNKNOWN, S,
        "The weights are non-commercial; outputs may be used commercially, and not to train a model that competes.",
        thresholds=(), territory=(), outputs=(NO_TRAINING,), but={"modify": K},
    ),
    row(
        "nvidia-open-model-license", None, "yyy", UNKNOWN, S,
        "Commercially usable, derivatives allowed; ends for who bypasses guardrails or sues.",
        restricted="y", research="n", thresholds=(), territory=(),
    ),
    row(
        "falcon-llm-license", None, "yyy", UNKNOWN, S, "Acceptable use policy, which may change over time.",
        restricted="y", research="n", thresholds=(), territory=(), but={"modify": K},
    ),
    row(
        "exaone", None, "ncc", UNKNOWN, S, "1.1-NC. Outputs are non-commercial too; not to improve other models.",
        thresholds=(), territory=(), outputs=(NONCOMMERCIAL, NO_TRAINING), but={"modify": K},
    ),
    row(
        "modified-mit", None, "yyy", NONE, S, "Kimi K2: MIT, with a name to show above a threshold.",
        restricted="n", notice="y", research="n", territory=(), outputs=(),
        thresholds=(Threshold(USERS, 100 * MILLION, _SHOWN), Threshold(MONTHLY, 20 * MILLION, _SHOWN)),
    ),
    row(
        "tencent-hunyuan-community", None, "ccc", UNKNOWN, S,
        "Read in the text for 3D 2.0; the texts of this family differ. Not to improve other models.",
        restricted="y", thresholds=(Threshold(USERS, MILLION, "needs a licence from Tencent"),),
        territory=("EU", "GB", "KR"), outputs=(NO_TRAINING,), but={"modify": K, "use_restrictions": K},
    ),
    _unread("ltx-video-open-weights", "Said to have a revenue threshold."),
    _research("mistral-ai-research", "MRL: research only, not for production.", UNKNOWN),
)  # fmt: skip
