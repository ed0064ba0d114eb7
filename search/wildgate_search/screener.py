"""Screens queries: folded, searched for terms, weighed by the rules.

Most queries hold nothing that could meet a rule, and are done after one search; only the others are looked at closely.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from wildgate_search.answer import Action, Answer, Match
from wildgate_search.errors import LexiconError
from wildgate_search.folding import ALL_STEPS, Folding, Step
from wildgate_search.lexicon import Lexicon, Rule
from wildgate_search.patterns import Patterns, compiled, spelled
from wildgate_search.reading import Found, excused, heard_terms, written_terms

__all__ = ["Screener"]


@dataclass(frozen=True, slots=True)
class _Weight:
    """A rule, its classes as bits."""

    rule: Rule
    all: int
    any: int
    unless: int

    def wanted_by(self, bits: int) -> bool:
        return bits & self.all == self.all and (not self.any or bool(bits & self.any))


class Screener:
    """A lexicon made ready. Immutable, and safe to be shared by threads.

    `steps` are the disguises that are undone; codes that have expired by `day` (today) do not count.
    Raises LexiconError, also if one of the lexicon's own tests has another answer.
    """

    def __init__(self, lexicon: Lexicon, steps: Collection[Step] = ALL_STEPS, day: dt.date | None = None) -> None:
        self.day = day or dt.datetime.now(dt.UTC).date()
        self.lexicon = lexicon
        self.version = lexicon.full_version
        self._folding = Folding(steps)
        self._patterns, self._emoji = compiled(lexicon, self._folding, self.day)
        self._evidence = self._patterns.only(lambda _, term: term.role == "evidence")
        self._hears = hears = Step.PINYIN in self._folding.steps
        self._sounds = spelled(lexicon, self._folding, self.day) if hears else Patterns({})
        rare = self._evidence.only(lambda _, term: not lexicon.classes[term.entry.class_name].common)
        rare_sounds = self._sounds.only(lambda _, term: not lexicon.classes[term.entry.class_name].common)
        ascii_only = rare.only(lambda form, term: form.isascii() and not term.entry.exact_accents)
        self._rare, self._rare_sounds, self._rare_ascii = rare, rare_sounds, ascii_only.joined(rare_sounds)
        bits = {name: 1 << number for number, name in enumerate(lexicon.classes)}
        by_gravity = sorted(lexicon.rules, key=lambda rule: -rule.grave)
        self._rules = [
            _Weight(rule, *(sum(bits[name] for name in set(names)) for names in (rule.all, rule.any, rule.unless)))
            for rule in by_gravity
            if hears or not rule.sounds
        ]
        self._beside_sounds = 0
        for weight in self._rules:
            self._beside_sounds |= weight.all | weight.any if weight.rule.sounds else 0
        self._worth = lru_cache(maxsize=4096)(self._could_meet)
        self._nothing = Answer(Action.NONE, self.version)
        if self._folding.steps == ALL_STEPS:
            self._test()

    def screen(self, query: str, locale: str = "en", *, explain: bool = False) -> Answer:
        """What is to be done with a query. Texts are in the language of the locale, or English."""
        try:
            folded = self._folding.fold(query)
            if not (self._holds_something(query, folded) or explain):
                return self._nothing
            bits = self._evidence.bits_in(folded)
        except UnicodeEncodeError:  # halves of surrogate pairs
            return self.screen(query.encode("utf-8", "replace").decode(), locale, explain=explain)
        for each in self._emoji.keys() & set(query):
            bits |= self._emoji[each].bit
        if self._worth(bits) or explain or (bits & self._beside_sounds and self._worth_hearing(folded, bits)):
            return self._weigh(query, locale, explain)
        return self._nothing

    def _holds_something(self, query: str, folded: str) -> bool:
        """Whether there is more than common words in it, as it is written or as it sounds."""
        if query.isascii():
            return bool(self._rare_ascii.find(folded))
        return bool(
            self._rare.find(folded)
            or not self._emoji.keys().isdisjoint(query)
            or (self._hears and self._rare_sounds.find(self._folding.spell(folded)))
        )

    def _could_meet(self, bits: int) -> bool:
        return any(weight.wanted_by(bits) for weight in self._rules)

    def _worth_hearing(self, folded: str, bits: int) -> bool:
        """Whether a rule could be met with what the query only sounds like."""
        sounds = self._sounds.bits_in(self._folding.spell(folded))
        return bool(sounds) and self._worth(bits | sounds)

    def _weigh(self, query: str, locale: str, explain: bool) -> Answer:
        aligned = self._folding.align(query)
        written = written_terms(self._patterns, aligned)
        written += [Found(self._emoji[each], at, at + 1) for at, each in enumerate(query) if each in self._emoji]
        found = excused(written)
        bits = _bits(found)
        met = self._met(bits, 0, lambda: _nothing_else(query, written))
        if (met is None or met.rule.grave < Action.RESTRICT) and bits & self._beside_sounds:
            heard = heard_terms(self._sounds, self._folding.spelled(aligned))
            covers = [each for each in written if each.term.role == "covers"]
            there = {(each.term, each.start) for each in found}
            heard = [
                each for each in excused([*covers, *heard]) if not each.cover and (each.term, each.start) not in there
            ]
            better = self._met(bits, _bits(heard) & ~bits, lambda: _nothing_else(query, [*written, *heard]))
            if better and (met is None or better.rule.grave > met.rule.grave):
                met = better
                found += heard
        if met is None and not explain:
            return self._nothing
        found.sort(key=lambda each: (each.start, each.end))
        matches = [_match(each) for each in found]
        return self._answer(met, matches, locale, self._notes(matches, met) if explain else ())

    def _met(self, bits: int, sounds: int, nothing_else: Callable[[], bool]) -> _Weight | None:
        """The gravest rule that the classes meet; with `sounds`, the gravest of those that count them."""
        for weight in self._rules:
            if sounds and not (weight.rule.sounds and bits & (weight.all | weight.any)):
                continue
            if (
                weight.wanted_by(bits | sounds)
                and not bits & weight.unless
                and (not weight.rule.nothing_else or nothing_else())
            ):
                return weight
        return None

    def _answer(self, met: _Weight | None, matches: list[Match], locale: str, notes: tuple[str, ...]) -> Answer:
        if met is None:
            return Answer(Action.NONE, self.version, matches=tuple(matches), notes=notes)
        named = dict.fromkeys(each.group for each in matches if each.group and not each.excused_by)
        groups = [self.lexicon.groups[name] for name in named]
        message_id = groups[0].message if groups else next(iter(self.lexicon.messages), "")
        texts = self.lexicon.messages.get(message_id, {})
        return Answer(
            met.rule.grave,
            self.version,
            rule=met.rule.id,
            reason=met.rule.reason,
            message_id=message_id,
            message=texts.get(locale.replace("_", "-").split("-")[0].lower(), texts.get("en", "")),
            matches=tuple(matches),
            demote=tuple(dict.fromkeys(label for group in groups for label in group.demote)),
            notes=notes,
        )

    def _notes(self, matches: Sequence[Match], met: _Weight | None) -> tuple[str, ...]:
        """Why, in words: each term that was found, and what each rule lacks that shares a class with them."""
        lines = [
            f"{each.class_name}: {each.term!r} ({each.language}, source {each.source}) at {each.start}..{each.end}"
            + (f", excused by {each.excused_by!r}" if each.excused_by else "")
            + (", only by its sound" if each.sounds else "")
            for each in matches
        ]
        written = {each.class_name for each in matches if not (each.excused_by or each.sounds)}
        heard = {each.class_name for each in matches if not each.excused_by}
        for rule in (weight.rule for weight in self._rules):
            if met is not None and rule is met.rule:
                lines.append(f"rule {rule.id} is met: {rule.action}, {rule.reason}")
                break
            there = heard if rule.sounds else written
            if not there.intersection(rule.all):
                continue
            missing = [name for name in rule.all if name not in there]
            if rule.any and not there.intersection(rule.any):
                missing.append(" or ".join(rule.any))
            if missing:
                lines.append(f"rule {rule.id} is not met: no {', no '.join(missing)}")
            elif against := there.intersection(rule.unless):
                lines.append(f"rule {rule.id} is prevented by {', '.join(sorted(against))}")
            else:
                lines.append(f"rule {rule.id} is not met: the query holds something else")
        return tuple(lines) or ("no term was found",)

    def _test(self) -> None:
        faults = []
        for at, example in enumerate(self.lexicon.tests):
            answer = self.screen(example.query)
            if answer.action is not Action[example.action]:
                why = f" by rule {answer.rule!r}" if answer.rule else ""
                place = self.lexicon.place("tests", at)
                faults.append(f"{place}: {example.query!r} is {answer.action.name}{why}, not {example.action}")
        if faults:
            raise LexiconError(faults)


def _bits(found: Iterable[Found]) -> int:
    bits = 0
    for each in found:
        bits |= 0 if each.cover else each.term.bit
    return bits


def _nothing_else(query: str, found: Iterable[Found]) -> bool:
    """Whether every letter of the query belongs to a term or a filler."""
    covered = set[int]()
    for each in found:
        covered.update(range(each.start, each.end))
    return all(at in covered or not letter.isalpha() for at, letter in enumerate(query))


def _match(found: Found) -> Match:
    term, entry = found.term, found.term.entry
    return Match(
        term=term.text,
        class_name=entry.class_name,
        language=term.language,
        group=entry.group,
        source=entry.source,
        start=found.start,
        end=found.end,
        sounds=found.sounds,
        excused_by=found.cover.text if found.cover else "",
    )
