"""What a licence lets people do, as values that a rule can test. None of it is legal advice.

A fact is known, with the source that says so, or it is unknown; there is no third state, and an unknown fact never
reads as a permission. What an internal cache may do follows from the facts (`mirror`), so it can contradict none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum


class Answer(StrEnum):
    YES = "yes"
    COND = "cond"  # under conditions that the notes name
    NO = "no"
    UNKNOWN = "unknown"


class ShareAlike(StrEnum):
    """What has to stay under the same terms; in the order of how far that reaches."""

    NONE = "none"
    FILE = "file"
    LIBRARY = "library"
    WORK = "work"
    NETWORK = "network"  # a work, also where it is only used over a network
    USE_TERMS = "use-terms"  # whoever gets a copy is bound to the same limits of use
    UNKNOWN = "unknown"


class OutputLimit(StrEnum):
    """What may not be done, or only in one way, with what a model puts out."""

    NO_TRAINING = "no-training"  # other models may not be trained or improved with it
    NAMED = "named"  # a model trained with it carries the name
    DERIVED = "derived"  # a model trained with it stands under the same terms
    NONCOMMERCIAL = "noncommercial"


class Measure(StrEnum):
    MONTHLY_USERS = "monthly users"
    MONTHLY_REVENUE = "US$ of monthly revenue"
    ANNUAL_REVENUE = "US$ of annual revenue"


class Source(StrEnum):
    CHOOSEALICENSE = "C"
    SCANCODE = "S"
    DEFINITION = "D"
    QUOTED = "Q"
    KNOWN = "K"
    UNVERIFIED = "?"


class Mirror(StrEnum):
    OK = "ok"
    NOTICE = "ok-with-notice"
    REVIEW = "review"
    NO = "no"


#: From the surest on. What the letter stands for, and how sure that makes us.
SOURCES = {
    Source.CHOOSEALICENSE: ("choosealicense.com, permissions, conditions and limitations of the licence", "text read"),
    Source.SCANCODE: ("ScanCode LicenseDB, text of the licence", "text read"),
    Source.DEFINITION: ("the name of the licence, or the Creative Commons deed", "by definition"),
    Source.QUOTED: ("the text as others quote it", "quoted, text not read"),
    Source.KNOWN: ("commonly known", "known, text not re-read"),
    Source.UNVERIFIED: ("no source", "not verified"),
}


@dataclass(frozen=True, slots=True)
class Threshold:
    measure: Measure
    above: int
    then: str

    def __str__(self) -> str:
        return f"above {self.above:,} {self.measure}: {self.then}"


@dataclass(frozen=True, slots=True)
class Attributes(Mapping[str, object]):
    """As fields typed, with None for unknown where an empty tuple says that there are none.

    As a mapping it is what rules compare: texts, or tuples of texts; `unknown` is spelled out.
    """

    commercial_use: Answer
    modify: Answer  # may make changed versions and share them
    redistribute: Answer
    share_alike: ShareAlike
    patent_grant: Answer  # granted in so many words
    use_restrictions: Answer  # some uses are forbidden
    notice: Answer  # a copy must come with a notice, or with the text of the licence
    research_only: Answer
    thresholds: tuple[Threshold, ...] | None
    territory_excluded: tuple[str, ...] | None  # ISO 3166 codes, and EU
    output_limits: tuple[OutputLimit, ...] | None

    def __getitem__(self, name: str) -> object:
        if name not in NAMES:
            raise KeyError(name)
        value = getattr(self, name)
        if isinstance(value, tuple):
            return tuple(map(str, value))
        return "unknown" if value is None else str(value)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def unknown(self) -> tuple[str, ...]:
        return tuple(name for name in NAMES if self[name] == "unknown")


NAMES = tuple(field.name for field in fields(Attributes))


@dataclass(frozen=True, slots=True)
class Licence:
    """`id` is the hub's where it has one. `spdx` is None for what is not on the SPDX list."""

    id: str
    spdx: str | None
    attributes: Attributes
    notes: str
    source: Source
    but: tuple[tuple[str, Source], ...] = ()  # attributes that another source tells

    @property
    def confidence(self) -> str:
        return SOURCES[self.source][1]

    @property
    def mirror(self) -> Mirror:
        return mirror(self.attributes)

    def source_of(self, attribute: str) -> Source:
        """Raises KeyError for what is no attribute."""
        if attribute not in NAMES:
            raise KeyError(attribute)
        if attribute in self.attributes.unknown():
            return Source.UNVERIFIED
        return dict(self.but).get(attribute, self.source)


@dataclass(frozen=True, slots=True)
class Family:
    """A name that several licences share: it says that there is a licence, and not which."""

    id: str
    members: tuple[str, ...]  # ids of this table; there may be others
    notes: str


_BEFORE_ALL = (
    "commercial_use",
    "redistribute",
    "use_restrictions",
    "research_only",
    "thresholds",
    "territory_excluded",
)


def mirror(facts: Attributes) -> Mirror:
    """What a cache may do that one organisation runs for everybody in it, whatever they do with a file.

    The first that holds:

    1. `no`: copies may not be passed on at all, or the licence is for research only, which a cache cannot see to.
    2. `review`: one of commercial_use, redistribute, use_restrictions, research_only, thresholds and territory_excluded
       is unknown; or commercial use is forbidden or has conditions; or there is a threshold or an excluded territory.
    3. `ok-with-notice`: a copy must come with a notice, or nobody knows whether it must; or uses are restricted, or the
       terms go on to whoever gets a copy, or passing it on has conditions. Who gets a file gets the licence with it.
    4. `ok`.

    A cache hands out what it was given, so that `modify`, `patent_grant` and `output_limits` do not matter to it.
    """
    if facts.redistribute is Answer.NO or facts.research_only is Answer.YES:
        return Mirror.NO
    if not set(_BEFORE_ALL).isdisjoint(facts.unknown()):
        return Mirror.REVIEW
    if facts.commercial_use is not Answer.YES or facts.thresholds or facts.territory_excluded:
        return Mirror.REVIEW
    free = (
        facts.notice is Answer.NO
        and facts.use_restrictions is Answer.NO
        and facts.share_alike is ShareAlike.NONE
        and facts.redistribute is Answer.YES
    )
    return Mirror.OK if free else Mirror.NOTICE


_LETTERS = {"y": Answer.YES, "c": Answer.COND, "n": Answer.NO, "?": Answer.UNKNOWN}


def row(
    id: str,
    spdx: str | None,
    rights: str,
    share: ShareAlike,
    source: Source,
    notes: str = "",
    *,
    patent: str = "?",
    restricted: str = "?",
    notice: str = "?",
    research: str = "?",
    thresholds: tuple[Threshold, ...] | None = None,
    territory: tuple[str, ...] | None = None,
    outputs: tuple[OutputLimit, ...] | None = None,
    but: dict[str, Source] | None = None,
) -> Licence:
    """One line of a table. `rights` has a letter for commercial use, modifying and redistributing each: y, c, n or ?.

    What is left out is unknown. Raises KeyError for another letter, ValueError for another number of them.
    """
    commercial, modify, redistribute = (_LETTERS[letter] for letter in rights)
    facts = Attributes(
        commercial_use=commercial,
        modify=modify,
        redistribute=redistribute,
        share_alike=share,
        patent_grant=_LETTERS[patent],
        use_restrictions=_LETTERS[restricted],
        notice=_LETTERS[notice],
        research_only=_LETTERS[research],
        thresholds=thresholds,
        territory_excluded=territory,
        output_limits=outputs,
    )
    return Licence(id, spdx, facts, notes, source, tuple((but or {}).items()))
