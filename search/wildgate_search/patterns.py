"""From terms to what is searched for: each term in the forms that it may have in a folded query."""

from __future__ import annotations

import datetime as dt
import itertools
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import ahocorasick_rs

from wildgate_search.errors import LexiconError
from wildgate_search.folding import Folding, Step, has_marks
from wildgate_search.lexicon import Entry, Lexicon

__all__ = ["Patterns", "Term", "compiled", "spelled"]

_LEAST_SYLLABLES = 2
_LEAST_SPELLED = 6
_LEAST_LEET, _MOST_LEET = 4, 3  # letters in a word, and l in it that may be 1


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the lexicon. `bit` is its class; `accents` its letters with their marks, where it has some."""

    text: str
    language: str
    entry: Entry
    role: str
    bit: int
    accents: str

    @property
    def genus(self) -> bool:
        """A scientific name of one word: short, and no letters that two words may not have too ("amazon a")."""
        return self.language == "la" and " " not in self.text


class Patterns:
    """Patterns, the terms that each stands for, and the automaton that finds them all."""

    def __init__(self, terms: dict[str, list[Term]]) -> None:
        self._terms = terms
        self.terms: Sequence[tuple[Term, ...]] = [tuple(each) for each in terms.values()]
        self.bits: Sequence[int] = [_all_bits(each) for each in self.terms]
        self._automaton = ahocorasick_rs.AhoCorasick(
            list(terms) or ["\0"], implementation=ahocorasick_rs.Implementation.DFA
        )

    def only(self, wanted: Callable[[str, Term], bool]) -> Patterns:
        """Those patterns that have a wanted term."""
        return Patterns(
            {form: list(terms) for form, terms in self._terms.items() if any(wanted(form, term) for term in terms)}
        )

    def joined(self, other: Patterns) -> Patterns:
        """These and the others."""
        return Patterns(self._terms | other._terms)

    def bits_in(self, folded: str) -> int:
        """The classes of all patterns in the text."""
        bits = 0
        for number, _, _ in self.find(folded):
            bits |= self.bits[number]
        return bits

    def find(self, folded: str) -> list[tuple[int, int, int]]:
        """Number, start and end of each pattern in the text; they may overlap."""
        return self._automaton.find_matches_as_indexes(folded, overlapping=True)


def compiled(lexicon: Lexicon, folding: Folding, day: dt.date) -> tuple[Patterns, dict[str, Term]]:
    """The patterns of all terms that hold on `day`, and the emoji that are terms.

    Raises LexiconError for a term of which folding leaves nothing.
    """
    patterns: dict[str, list[Term]] = {}
    emoji: dict[str, Term] = {}
    faults = []
    for at, entry in enumerate(lexicon.entries):
        if not entry.holds_on(day):
            continue
        for term in _terms(lexicon, entry):
            if term.language == "emoji":
                emoji[term.text] = term
                continue
            forms = set(_forms(term, lexicon, folding))
            if not forms:
                faults.append(f"{lexicon.place('entries', at)}: the term {term.text!r} is empty once it is folded")
            for form in forms:
                patterns.setdefault(form, []).append(term)
    if faults:
        raise LexiconError(faults)
    return Patterns(patterns), emoji


def spelled(lexicon: Lexicon, folding: Folding, day: dt.date) -> Patterns:
    """The patterns, by their sound, of the Chinese terms that rules count by it, where they are long enough."""
    counted = {name for rule in lexicon.rules if rule.sounds for name in (*rule.all, *rule.any)}
    patterns: dict[str, list[Term]] = {}
    for entry in lexicon.entries:
        for term in _terms(lexicon, entry) if entry.holds_on(day) else ():
            if term.language == "zh" and entry.class_name in counted and len(term.text) >= _LEAST_SYLLABLES:
                spelling = folding.spelling(term.text)
                if len(spelling) >= _LEAST_SPELLED:
                    patterns.setdefault(spelling, []).append(term)
    return Patterns(patterns)


def _terms(lexicon: Lexicon, entry: Entry) -> Iterator[Term]:
    number = list(lexicon.classes).index(entry.class_name)
    role = lexicon.classes[entry.class_name].role
    for language, text in entry.terms():
        accents = spelling(text) if has_marks(text) else ""
        yield Term(text, language, entry, role, 1 << number, accents)


def _forms(term: Term, lexicon: Lexicon, folding: Folding) -> Iterator[str]:
    """The folded term, with endings, with Chinese characters split, and with 1 for l, which folds to i."""
    written = [term.text, *_split(term.text, lexicon, folding)]
    if term.role != "filler":
        written += [term.text + ending for ending in lexicon.endings.get(term.language, ())]
    for text in written:
        if folded := folding.fold(text):
            yield folded
            if Step.LEET in folding.steps and len(folded) > _LEAST_LEET and folded.count("l") <= _MOST_LEET:
                parts = folded.split("l")
                for letters in itertools.product("li", repeat=len(parts) - 1):
                    yield "".join(map("".join, itertools.zip_longest(parts, letters, fillvalue="")))


def _split(text: str, lexicon: Lexicon, folding: Folding) -> Iterator[str]:
    if Step.SPLIT not in folding.steps:
        return
    splittable = [each for each in text if each in lexicon.splits]
    for each in splittable:
        yield text.replace(each, lexicon.splits[each])
    if len(splittable) > 1:
        yield "".join(lexicon.splits.get(each, each) for each in text)


def spelling(text: str) -> str:
    """The letters with their marks, doubled ones once, without what separates them."""
    letters = [each for each in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(each)[0] in "LM"]
    single = "".join(each for each, after in zip(letters, [*letters[1:], ""], strict=True) if each != after)
    return unicodedata.normalize("NFD", single)


def _all_bits(terms: Sequence[Term]) -> int:
    bits = 0
    for term in terms:
        bits |= term.bit
    return bits
