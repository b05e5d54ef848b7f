"""What the answer to a file asks of a hub, whichever it is: what is known of the file, and where its bytes are.

One `Inquiry` for each hub. All of it is asked without credentials, and what is told is stored; a refusal is remembered,
and only the hub itself can refuse, no mirror of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.messages import StoredResponse
from ..core.status import Outcome
from ..core.storing import Terms
from ..fetch.transfer import Source
from ..hub.resources import File
from ..store.contract import View


@dataclass(frozen=True, slots=True)
class Refused:
    """The hub will not tell an anonymous client."""

    status: int
    code: str = ""  # X-Error-Code

    @property
    def closed(self) -> bool:
        """It is the repo that is refused, not a revision of it."""
        return self.status in (401, 403) or self.code in ("RepoNotFound", "GatedRepo")


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of the file, and how that came about."""

    file: File
    stored: StoredResponse
    outcome: Outcome


class Inquiry(Protocol):
    hub: str
    names_commits: bool  #: a branch is first resolved to a commit, which is kept in a row of its own

    def seen(self, view: View, file: File) -> Sequence[StoredResponse]:
        """What is stored of the file and still holds, as far as can be seen from there."""
        ...

    async def stored(self, file: File) -> Sequence[StoredResponse]:
        """What is stored of the file and still holds."""
        ...

    def proof(self, file: File, status: int) -> str:
        """The name of the proof by which strangers may have what is stored of the file."""
        ...

    def terms(self, file: File, status: int) -> Terms: ...

    async def ask(self, file: File, agent: str, *, hurry: bool, reload: bool) -> Found | Refused:
        """Ask the hub, and store what it says. `hurry`: there is something stale; `reload`: nothing stored will do.

        Raises `UpstreamFailed`. A `Found` that is a hit has asked the hub for nothing.
        """
        ...

    def source(self, file: File, stored: StoredResponse, agent: str) -> Source: ...
