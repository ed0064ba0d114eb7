"""Folds what was written to what it says: one text in which a term looks the same however it was disguised.

Letters are decomposed (NFKD), folded in case, and rid of what separates or decorates them; doubled ones become one.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Collection
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from wildgate_search.tables import read

__all__ = ["ALL_STEPS", "Aligned", "Folding", "Step", "has_marks"]

_DROPPED = " "
_LEET = {
    "0": "o",
    "1": "i",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
} | dict.fromkeys("!|", "i")
_LATIN = {"đ": "d", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "ß": "ss"}
_MARKS = range(0x300, 0x370)
_THAI = range(0xE00, 0xE80)  # of all marks, only theirs make words
_INVISIBLE = (0x115F, 0x1160)  # Hangul fillers, letters by category
_HAN = range(0x3400, 0xA000)
_KNOWN = 0x20000  # characters beyond are rare enough to be looked up one by one


class Step(StrEnum):
    """One kind of disguise that is undone; each can be left out, to see what it is worth."""

    WIDTH = "width"
    CASE = "case"
    SPACING = "spacing"
    PUNCTUATION = "punctuation"
    EMOJI = "emoji"
    CONFUSABLES = "confusables"
    LEET = "leet"
    SCRIPT = "script"
    PINYIN = "pinyin"
    DOUBLED = "doubled"
    SPLIT = "split"


ALL_STEPS = frozenset(Step)


class _Letters(dict[int, str]):
    """A table for `str.translate`: what separates or decorates becomes a space, other letters and digits stay."""

    def __init__(self, steps: Collection[Step]) -> None:
        super().__init__()
        self._steps = steps
        alike = read("confusables") | _LATIN if Step.CONFUSABLES in steps else _LATIN
        simple = read("simplified") if Step.SCRIPT in steps else {}
        leet = _LEET if Step.LEET in steps else {}
        self.update({ord(each): to for each, to in {**simple, **alike, **leet}.items()})
        self.update({code: self[code] for code in range(_KNOWN)})

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = unicodedata.category(letter)
        if (kind[0] in "LN" and code not in _INVISIBLE) or (kind[0] == "M" and code in _THAI):
            return letter
        if code in _MARKS:
            return _DROPPED
        decorates = Step.EMOJI if kind[0] == "M" or kind in ("So", "Sk") else Step.PUNCTUATION
        step = Step.SPACING if kind[0] in "ZCL" else decorates
        return _DROPPED if step in self._steps else letter.replace(" ", "_")


class Aligned:
    """A folded query whose every letter knows from where in the query it came: [starts[i], ends[i]).

    Of a doubled letter, that is from the first to the last: a word may end with the first, and the next begin with the
    last, as in "buys snakes".
    """

    __slots__ = ("_edges", "ends", "first_ends", "last_starts", "letters", "query", "starts")

    def __init__(self, query: str) -> None:
        self.query = query
        self._edges = _edges(query)
        self.letters: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.first_ends: list[int] = []
        self.last_starts: list[int] = []

    @property
    def text(self) -> str:
        """The letters."""
        return "".join(self.letters)

    def add(self, letter: str, start: int, end: int) -> None:
        """Adds a letter."""
        self.letters.append(letter)
        self.starts.append(start)
        self.last_starts.append(start)
        self.ends.append(end)
        self.first_ends.append(end)

    def opens(self, at: int) -> bool:
        """Whether a word may begin with the letter `at`."""
        return self._edges[self.starts[at]] or self._edges[self.last_starts[at]]

    def closes(self, at: int) -> bool:
        """Whether a word may end before the letter `at`."""
        return self._edges[self.ends[at - 1]] or self._edges[self.first_ends[at - 1]]

    def single(self, at: int) -> bool:
        """Whether the letter `at` is written once."""
        return self.starts[at] == self.last_starts[at]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where in the query the letters from `start` to before `end` stand."""
        first, last = self.starts[start], self.ends[end - 1]
        if not self._edges[first] and self._edges[self.last_starts[start]]:
            first = self.last_starts[start]
        if not self._edges[last] and self._edges[self.first_ends[end - 1]]:
            last = self.first_ends[end - 1]
        return first, last

    def apart(self, first: int, last: int) -> bool:
        """Whether nothing that is written touches the characters from `first` to before `last` of the query."""
        before, after = first - 1, last
        return (before < 0 or not self.query[before].isalnum()) and (
            after == len(self.query) or not self.query[after].isalnum()
        )


class Folding:
    """Folds by the given steps. Immutable, and safe to be shared by threads."""

    def __init__(self, steps: Collection[Step] = ALL_STEPS) -> None:
        self.steps = frozenset(steps)
        self._undoubles, self._lowers = Step.DOUBLED in steps, Step.CASE in steps
        self._form: Literal["NFKD", "NFD"] = "NFKD" if Step.WIDTH in steps else "NFD"
        self._letters = _Letters(self.steps)
        self._ascii = bytes(ord(self._letters[code]) for code in range(128)) + bytes(range(128, 256))
        syllables = read("pinyin") if Step.PINYIN in steps else {}
        self._syllables = {ord(each): syllable for each, syllable in syllables.items()}
        self._spoken = (
            dict(enumerate(map(chr, range(0xA000)))) | self._syllables
        )  # what a table lacks is looked up slowly
        self._piece = lru_cache(maxsize=1 << 14)(self._mapped)

    def fold(self, text: str) -> str:
        """The folded text."""
        mapped = self._mapped(text)
        if not self._undoubles:
            return mapped.replace(_DROPPED, "")
        letters = []
        last = _DROPPED
        for each in mapped:
            if each != last and each != _DROPPED:
                last = each
                letters.append(each)
        return "".join(letters)

    def align(self, text: str) -> Aligned:
        """The folded text with its places; a letter with several marks may be folded a little differently."""
        found = Aligned(text)
        for at, each in enumerate(text):
            for piece in self._piece(each):
                if piece == _DROPPED:
                    if ord(each) in _MARKS and found.ends:
                        found.ends[-1] = at + 1  # it belongs to the letter before
                elif found.letters and piece == found.letters[-1] and self._undoubles:
                    found.ends[-1], found.last_starts[-1] = at + 1, at
                else:
                    found.add(piece, at, at + 1)
        return found

    def _mapped(self, text: str) -> str:
        """Letter by letter, with spaces for what is to be dropped."""
        if text.isascii():
            cased = text.lower() if self._lowers else text
            return cased.encode().translate(self._ascii).decode()
        form = unicodedata.normalize(self._form, text)
        return (form.casefold() if self._lowers else form).translate(self._letters)

    def spell(self, folded: str) -> str:
        """A folded text with each Chinese character as the syllable that it is read as."""
        return folded if folded.isascii() else folded.translate(self._spoken)

    def spelled(self, aligned: Aligned) -> Aligned:
        """`spell`, with places."""
        found = Aligned(aligned.query)
        for letter, start, end in zip(aligned.letters, aligned.starts, aligned.ends, strict=True):
            for each in self._spoken.get(ord(letter), letter):
                found.add(each, start, end)
        return found

    def spelling(self, term: str) -> str:
        """A term of Chinese characters as its syllables, without tones; empty if it has others."""
        folded = self.fold(term)
        if not folded or any(ord(each) not in self._syllables for each in folded):
            return ""
        return self.spell(folded)


def has_marks(text: str) -> bool:
    """Whether a letter of the text has an accent or a tone mark."""
    return not text.isascii() and any(ord(each) in _MARKS for each in unicodedata.normalize("NFD", text))


def _edges(query: str) -> list[bool]:
    """Before which characters, and at the end, a word may end and another begin."""
    kinds = [_kind(each) for each in query]
    inner = [left == " " or left != right for left, right in itertools.pairwise(kinds)]
    return [True, *inner, True] if query else [True]


@lru_cache(maxsize=1 << 14)
def _kind(letter: str) -> str:
    """Letters of scripts with words, digits, or what stands by itself."""
    if letter.isdigit():
        return "0"
    if letter.isalpha():
        return " " if ord(letter) in _HAN or ord(letter) in _THAI or ord(letter) > 0x1FFFF else "a"
    return "a" if ord(letter) in _MARKS else " "
