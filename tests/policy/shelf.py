"""A directory of rules on disk, and rulebooks that read it. Each edit has another size: no clock has to tell it."""

import itertools
from pathlib import Path

from proxy_addon.policy.judge import Deny
from proxy_addon.policy.rulebook import Rulebook
from tests.policy.drawn import NOW, facts

_numbers = itertools.count(1)


def deny(*ids, more=""):
    """The text of a file with a rule for each id, which denies the repos below that name."""
    rules = "".join(f'  - {{id: {id}, effect: deny, match: {{repo: "{id}/*"}}}}\n' for id in ids)
    return f"version: 1\n{more}rules:\n{rules}" + "#" * next(_numbers) + "\n"


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.rules, self.keep = folder / "rules", folder / "kept"
        self.rules.mkdir()

    def write(self, text, name="own.yaml"):
        file = self.rules / name
        file.write_text(text) if isinstance(text, str) else file.write_bytes(text)
        return file

    def book(self, *paths, **changes):
        book = Rulebook(paths or (self.rules,), self.keep, clock=lambda: NOW, **changes)
        book.open()
        return book


def settle(book):
    """A look that sees a change, and one that finds it finished."""
    book.look()
    book.look()


def denied(book, *namespaces):
    """Those of the namespaces whose repos are denied."""
    answers = {each: book.policy.judge(facts(repo=f"{each}/b"), NOW) for each in namespaces}
    return {each for each, answer in answers.items() if isinstance(answer, Deny)}


def reason(book, repo="any/b"):
    """The denial."""
    answer = book.policy.judge(facts(repo=repo), NOW)
    assert isinstance(answer, Deny)
    return answer
