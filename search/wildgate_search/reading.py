"""Which terms a query really holds, and where: words are whole, accents fit, and phrases take away what they cover."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from wildgate_search.folding import Aligned, has_marks
from wildgate_search.patterns import Patterns, Term, spelling

__all__ = ["Found", "excused", "heard_terms", "written_terms"]

_LONGEST_LETTERS_THAT_ACCENTS_CHANGE = 4  # bán is no ban, but ívóry is ivory
_LEAST_CHAINED = 3  # shorter words make up others


@dataclass(frozen=True, slots=True)
class Found:
    """A term from character `start` to before `end` of the query; taken away by the phrase `cover`, if there is one."""

    term: Term
    start: int
    end: int
    sounds: bool = False
    cover: Term | None = None


def written_terms(patterns: Patterns, aligned: Aligned) -> list[Found]:
    """The terms that are written in the query, in whatever disguise."""
    places = patterns.find(aligned.text)
    opened, closed = _chained(aligned, patterns, places)
    found = []
    for number, start, end in places:
        if not ((start in opened or aligned.opens(start)) and (end in closed or aligned.closes(end))):
            continue
        first, last = aligned.place(start, end)
        written = aligned.query[first:last]
        for term in patterns.terms[number]:
            if (
                (not term.entry.apart or aligned.apart(first, last))
                and (not term.genus or written.isalnum())
                and _accents_fit(written, term, end - start)
            ):
                found.append(Found(term, first, last))
    return _in_company(aligned.query, found)


def heard_terms(patterns: Patterns, spoken: Aligned) -> list[Found]:
    """The terms that the query, spelled by its sound, holds as whole syllables."""
    found = []
    for number, start, end in patterns.find(spoken.text):
        first, last = spoken.starts[start], spoken.ends[end - 1]
        whole = (start == 0 or spoken.starts[start - 1] != first) and (
            end == len(spoken.text) or spoken.ends[end] != last
        )
        if whole and spoken.opens(start) and spoken.closes(end):
            found += [Found(term, first, last, sounds=True) for term in patterns.terms[number]]
    return found


def excused(found: Sequence[Found]) -> list[Found]:
    """Evidence and contexts, with the phrase that takes each away; contexts that are part of evidence are none."""
    covers = [each for each in found if each.term.role == "covers"]
    evidence = [each for each in found if each.term.role == "evidence"]
    kept = []
    for each in found:
        if each.term.role == "evidence":
            cover = next((by.term for by in covers if _takes(by, each)), None)
            kept.append(replace(each, cover=cover) if cover else each)
        elif each.term.role == "context" and not any(_inside(each, other) for other in evidence):
            kept.append(each)
    return kept


def _chained(aligned: Aligned, patterns: Patterns, places: Sequence[tuple[int, int, int]]) -> tuple[set[int], set[int]]:
    """Where words begin or end because the term beside them does, as in "elephantivory"."""
    links = [
        (start, end)
        for number, start, end in places
        if end - start >= _LEAST_CHAINED
        and aligned.single(start)
        and aligned.single(end - 1)
        and patterns.terms[number][0].role in ("evidence", "filler")
    ]
    opened, closed = set[int](), set[int]()
    for start, end in sorted(links):
        if start in opened or aligned.opens(start):
            opened.add(end)
    for start, end in sorted(links, key=lambda place: -place[1]):
        if end in closed or aligned.closes(end):
            closed.add(start)
    return opened, closed


def _accents_fit(written: str, term: Term, letters: int) -> bool:
    if not has_marks(written):
        return not (term.accents and term.entry.exact_accents)
    if term.accents:
        return spelling(written).startswith(term.accents)
    return letters > _LONGEST_LETTERS_THAT_ACCENTS_CHANGE or term.language in ("zh", "th")


def _in_company(query: str, found: list[Found]) -> list[Found]:
    """Without the terms that lost their accents, unless there is other evidence of their language."""
    bare = [bool(each.term.accents) and not has_marks(query[each.start : each.end]) for each in found]
    if not any(bare):
        return found
    places = defaultdict[str, set[int]](set)
    for each in found:
        if each.term.role == "evidence":
            places[each.term.language].add(each.start)
    return [each for each, lost in zip(found, bare, strict=True) if not lost or len(places[each.term.language]) > 1]


def _takes(cover: Found, found: Found) -> bool:
    """Whether it lies inside the phrase, or shares only some letters with it, so that one of both is misread."""
    if cover.start <= found.start and found.end <= cover.end:
        return True
    return found.start < cover.start < found.end < cover.end or cover.start < found.start < cover.end < found.end


def _inside(found: Found, other: Found) -> bool:
    return other.start <= found.start and found.end <= other.end
