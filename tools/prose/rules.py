"""How English is written here, as far as a machine can tell: words, the length of a sentence, how it begins."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from proselint.checks import __register__ as everything
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check
from proselint.registry.checks.engine import Fancy
from proselint.registry.checks.types import PreferredForms
from proselint.tools import LintFile

from tools.prose.passages import Passage

# Words. A longer sentence is read twice.
LONGEST = 30
# Those of proselint's checks that hold for technical text. The others are about typography and style.
_TAKEN = ("archaism", "cliches", "hedging", "malapropisms", "mondegreens", "nonwords", "oxymorons", "redundancy")
# Words that cost a reader time, and what to write instead.
_PLAIN = {
    r"anew": "again",
    r"but for": "except",
    r"(go|goes|going|went|gone) on": "continue or resume",
    r"makes? sure": "check",
    r"(is|are|was|were) told(?! apart)": "is shown or is listed",
    r"tells? of": "report or describe",
    r"can('t|not) be told": "can't be determined",
    r"who(m|so)?ever": "the person or the part that acts",
    r"(not|isn't|aren't) any ?more": "no longer",
    r"(is|are) no more(?! than)": "no longer exists",
    r"(set|sets|setting) aside": "quarantine",
    r"puts? right": "correct",
    r"no news": "nothing new",
    r"(whereby|thereby|thereof|therein|lest)": "a sentence of its own",
    r"where (nothing|none|no one|there (is|are)|it (is|has)|they (are|have))": "if",
    r"(none|empty|nothing|else) where": "if",
    r"witness(es)?": "history checker",
    r"contestants?": "competitor",
    r"(utili[sz]es?|leverages?|seamless(ly)?|delves?|crucial(ly)?)": "a plain word, or a figure",
    r"(please )?note that|worth noting": "the fact alone",
}
_END = re.compile(r"(?<=[.!?:;])\s+")
_WORD = re.compile(r"[A-Za-z][\w'-]*")
# "What is missed, the table explains." In a table, "Who bought it." is as good as any name.
_RELATIVE = re.compile(r"(?:What|Whatever|Who)(?: [^ ?]+){6,}[.]")
_VERB = re.compile(r"[A-Z][a-z]+s\b")
_BETWEEN = "\n\n"

CheckRegistry().register_many(
    (
        *(check for check in everything if any(check.matches_partial(path) for path in _TAKEN)),
        Check(PreferredForms(_PLAIN), Fancy(), "plain", "Say '{}' instead of '{}'."),
    )
)


@dataclass(frozen=True, order=True)
class Finding:
    """Something that a reader would stumble over; `line` is where its passage begins."""

    line: int
    message: str


def findings(found: Sequence[Passage]) -> list[Finding]:
    """Returns what is wrong with a file's passages, in the order of their lines."""
    return sorted({*_of_words(found), *_of_sentences(found)})


def _of_words(found: Sequence[Passage]) -> Iterator[Finding]:
    if not found:
        return
    # proselint puts a line break in front of the text.
    starts = list(accumulate((len(passage.text) + len(_BETWEEN) for passage in found), initial=1))
    checks = dict.fromkeys((*_TAKEN, "plain"), True)
    text = _BETWEEN.join(passage.text for passage in found)
    for result in LintFile("passages", text).lint({"max_errors": len(text), "checks": checks}):
        passage = found[bisect_right(starts, result.check_result.span[0]) - 1]
        yield Finding(passage.line, result.check_result.message)


def _of_sentences(found: Iterable[Passage]) -> Iterator[Finding]:
    for passage in found:
        if passage.begins == "function" and not _VERB.match(passage.text):
            yield Finding(
                passage.line, f"Begin the docstring with a verb, as in Returns or Reads: {_start(passage.text)}"
            )
        for sentence in _END.split(passage.text):
            if (words := len(_WORD.findall(sentence))) > LONGEST:
                yield Finding(passage.line, f"{words} words in a sentence, at most {LONGEST}: {_start(sentence)}")
            if _RELATIVE.fullmatch(sentence):
                yield Finding(passage.line, f"Name the thing instead of beginning with a relative: {_start(sentence)}")


def _start(sentence: str) -> str:
    return sentence if len(sentence) <= 60 else f"{sentence[:60]}…"
