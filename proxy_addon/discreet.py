"""What a process of ours never tells: secrets in its log, and its memory in a core dump.

Errors of libraries carry URLs and header fields. So nothing is logged as it comes: each line, tracebacks too, loses
the queries and passwords of URLs, the values of fields that carry credentials, and what looks like a token of a hub.
Control characters of a message are escaped: one record is one line, whoever named the host in it.

A limit of one byte is how a core dump is forbidden: the kernel heeds zero for files only, and hands the dump to a
program that its `core_pattern` names all the same; with one byte it does neither. The dumpable flag of Linux is left
as it is: without it nobody but root could see the open files, the memory use or the stack of a process of his own.
"""

from __future__ import annotations

import logging
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from types import TracebackType

FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: Tokens that the environment of a user may hold. A proxy uses nobody's: neither it nor what it starts has them.
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "MODELSCOPE_TOKEN")
_END = re.compile(r"[).,;:!?\]}]*")  # of a question, or of the sentence that a URL stands in


def _without_query(found: re.Match[str]) -> str:
    """A word: what follows `?` is a query where a path stands before it or a parameter behind, and else prose."""
    path, mark, query = found[0].partition("?")
    prose = _END.fullmatch(query) or not ("/" in path or "=" in query)
    return found[0] if prose else path + mark


type _Left = str | Callable[[re.Match[str]], str]
_CENSORED: tuple[tuple[re.Pattern[str], _Left], ...] = (
    (re.compile(r"(\w://)[^\s/@?#'\"<>]+@"), r"\1"),
    (re.compile(r"[^\s'\"<>]+"), _without_query),
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*[:=,]\s*)b?['\"]?[^'\"\n]+"), r"\1\2..."),
    (
        re.compile(
            r"(?i)\b(x-xet-[\w-]+|[\w-]{0,40}(?:token|secret|api-?key|password))(['\"]?\s*[:=,]\s*)b?['\"]?[^\s'\",;]+"
        ),
        r"\1\2...",
    ),
    (re.compile(r"(?i)\b(bearer)\s+[^\s'\",]+"), r"\1 ..."),
    (re.compile(r"\b(Basic)\s+[\w+/=-]{6,}"), r"\1 ..."),
    (re.compile(r"\bhf_[A-Za-z0-9]{20,}"), "hf_..."),
)
_CONTROL = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160))}


def censored(text: str) -> str:
    """The text without what might be a secret in it."""
    for pattern, left in _CENSORED:
        text = pattern.sub(left, text)
    return text


class Discreet(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROL)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # as another formatter may have left it
        return censored(super().format(record))


def forbid_core_dumps() -> None:
    """For the rest of this process's life, and of those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    least = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (least, least))


def keep_quiet() -> None:
    """For a process of our own: no core dump, and what ends it is told as discreetly as what it logs."""
    forbid_core_dumps()
    logging.raiseExceptions = False  # else what cannot be logged is printed, with all its arguments
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Discreet())
    sys.excepthook = _ended
    threading.excepthook = lambda told: _ended(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _ended(told.exc_type, told.exc_value, told.exc_traceback)


def log_to_standard_error() -> None:
    """How each process of a server logs; besides, `keep_quiet`."""
    keep_quiet()
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet(FORM))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("proxy_addon").setLevel(logging.INFO)


def disown_tokens() -> None:
    """Take the tokens of whoever started this process out of its environment."""
    for name in TOKENS:
        os.environ.pop(name, None)


def _ended(kind: type[BaseException], fault: BaseException | None, trace: TracebackType | None) -> None:
    record = logging.LogRecord("hubgate", logging.CRITICAL, "", 0, kind.__name__, (), None)
    if fault is not None:
        record.exc_info = (kind, fault, trace)
    if sys.stderr is not None:
        print(Discreet().format(record), file=sys.stderr)
