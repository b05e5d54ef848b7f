"""One denial in words: the rule, whom it belongs to, the reason, the way out, and the id of the request.

The reason gives way where there is little room. The rule, the way out and the id never do: a part of them that would
be too long is left out whole (half a URL leads nowhere), so that what remains has a bound. Nothing of the blocked
URL's query is repeated, for it may be a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto
from urllib.parse import quote

from ..core.messages import Request
from ..hub.resources import Repo, Subject
from ..hub.targets import spelled
from .spoken import address, ascii_line, cut, line, name, place

_RULE, _WHOM, _URL, _COMMAND, _ID = 64, 80, 240, 120, 32  # characters at most


class Decision(StrEnum):
    """Why it is denied, as far as it changes what the user can do."""

    DENIED = auto()
    APPROVAL = auto()  # restricted, or the rule requires an approval
    EMBARGOED = auto()  # no exception lifts it


_NOTES = {Decision.APPROVAL: "It needs an approval.", Decision.EMBARGOED: "No exception can be granted."}


@dataclass(frozen=True, slots=True)
class Denial:
    rule: str  # its id
    reason: str  # filled in
    decision: Decision = Decision.DENIED
    owner: str = ""
    contact: str = ""
    request_url: str = ""  # `{repo}` and `{rule}` may still be in it


@dataclass(frozen=True, slots=True)
class Words:
    """All but `reason` is printable ASCII within a limit."""

    rule: str
    whom: str
    reason: str  # one line
    note: str  # a sentence, or nothing
    url: str
    ask: str  # where or whom
    explain: str  # the command that tells more
    id: str

    @property
    def phrase(self) -> str:
        """For a status line, 120 bytes at most."""
        return f"Blocked by policy {self.rule} [{self.id}]"

    @property
    def text(self) -> str:
        return self._with(self.reason)

    def short(self, limit: int) -> str:
        """ASCII; above the limit it is the reason that is cut."""
        room = limit + 1 - len(self._with("."))
        return self._with(cut(ascii_line(self.reason), room))

    def _with(self, reason: str) -> str:
        whom = f" ({self.whom})" if self.whom else ""
        ways = " or ".join(filter(None, (self.ask, self.explain and f"run: {self.explain}")))
        ending = (self.note, f"{ways[:1].upper()}{ways[1:]}", f"[{self.id}]")
        return " ".join(filter(None, (f"Blocked by policy rule '{self.rule}'{whom}:", reason, *ending)))


def words(denial: Denial, request: Request, about: Subject | None, request_id: str) -> Words:
    """`about` is what was denied; without it, the URL."""
    repo = about.repo if about else None
    owner, contact = (cut(ascii_line(who), _WHOM) for who in (denial.owner, denial.contact))
    url = "" if denial.decision is Decision.EMBARGOED else _request_url(denial, repo)
    return Words(
        rule=label(denial.rule, _RULE),
        whom=owner or contact,
        reason=sentence(denial.reason),
        note=_NOTES.get(denial.decision, ""),
        url=url,
        ask=_ask(denial.decision, url, contact or owner),
        explain=_explain(request, about),
        id=label(request_id, _ID),
    )


def label(text: str, limit: int = _RULE) -> str:
    """The id of a rule or a request, so that it cannot be mistaken for the words around it."""
    return cut(ascii_line(text).replace("'", "?"), limit) or "-"


def sentence(reason: str) -> str:
    told = line(reason) or "no reason is given"
    return told if told[-1] in ".!?" else f"{told}."


def _ask(decision: Decision, url: str, whom: str) -> str:
    if url:
        return f"apply at {url}" if decision is Decision.APPROVAL else f"ask at {url}"
    return f"ask {whom}" if whom else ""


def _request_url(denial: Denial, repo: Repo | None) -> str:
    url = denial.request_url
    for mark, value in (("{repo}", repo.id if repo else ""), ("{rule}", denial.rule)):
        url = url.replace(mark, quote(value.encode("utf-8", "replace"), safe=""))
    found = address(url)
    return found if len(found) <= _URL else ""


def _explain(request: Request, about: Subject | None) -> str:
    """About the file that was denied, as of its repo alone another answer may be true; about the repo where the file's
    name cannot be written as the command reads it."""
    if about is None:
        what = place(request.origin + request.path)
    else:
        what = name(spelled(about.repo))
        file = f"{what}@{about.rev}/{about.path}" if about.path and about.rev and "/" not in about.rev else what
        if len(file) <= _COMMAND and name(file) == file:
            what = file
    return f"hubgate explain {what}" if len(what) <= _COMMAND else ""
