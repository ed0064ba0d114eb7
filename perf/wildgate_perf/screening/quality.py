"""How right the answers are: precision, recall and false alarms, and what each step of folding is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wildgate_perf.screening.evasions import DISGUISES, disguised
from wildgate_perf.screening.labelled import LANGUAGES, Labelled
from wildgate_search import Action, Screener, load_lexicon
from wildgate_search.folding import ALL_STEPS, Step

__all__ = ["confusion", "evasions_caught", "missed", "step_worth"]


def confusion(screener: Screener, queries: Sequence[Labelled]) -> dict[str, Any]:
    """By language and in all: how many of each kind are restricted and informed; precision and recall of RESTRICT."""
    counts = Counter[tuple[str, str, Action]]()
    subjects = Counter[tuple[str, Action]]()
    for each in queries:
        action = screener.screen(each.query).action
        counts[each.language, each.kind, action] += 1
        counts["all", each.kind, action] += 1
        subjects[f"{each.kind}/{each.subject}", action] += 1
    return {
        "by_language": {language: _shares(counts, language) for language in ("all", *LANGUAGES)},
        "by_subject": {
            subject: {action.name: subjects[subject, action] for action in Action}
            for subject in sorted({subject for subject, _ in subjects})
        },
    }


def missed(screener: Screener, queries: Iterable[Labelled]) -> dict[str, list[str]]:
    """Trade queries that are not restricted, and others that are."""
    found: dict[str, list[str]] = {"not_restricted": [], "wrongly_restricted": []}
    for each in queries:
        restricted = screener.screen(each.query).action is Action.RESTRICT
        if restricted != (each.kind == "trade"):
            found["wrongly_restricted" if restricted else "not_restricted"].append(f"{each.language}: {each.query}")
    return found


def evasions_caught(screener: Screener, queries: Iterable[Labelled], seed: int) -> dict[str, Any]:
    """Of each disguise, how many of the trade queries that are restricted undisguised are restricted in it."""
    plain = [each for each in queries if each.kind == "trade" and screener.screen(each.query).action is Action.RESTRICT]
    tried, caught = Counter[str](), Counter[str]()
    misses: dict[str, list[str]] = {}
    for name in DISGUISES:
        for each in plain:
            if (changed := disguised(each.query, name, seed)) is None:
                continue
            if name in ("script", "pinyin", "split") and each.language != "zh":
                continue
            tried[name] += 1
            if screener.screen(changed).action is Action.RESTRICT:
                caught[name] += 1
            else:
                misses.setdefault(name, []).append(f"{each.query} -> {changed}")
    by_class = {
        name: {"tried": tried[name], "caught": caught[name], "share": caught[name] / tried[name]} for name in tried
    }
    return {
        "by_class": by_class,
        "share": sum(caught.values()) / sum(tried.values()),
        "missed": {name: texts[:12] for name, texts in misses.items()},
    }


def step_worth(queries: Sequence[Labelled], seed: int) -> dict[str, Any]:
    """For each step of folding: disguised queries caught only with it, and innocent ones touched only with it."""
    lexicon = load_lexicon()
    whole = Screener(lexicon)
    trade = [each for each in queries if each.kind == "trade"]
    innocent = [each.query for each in queries if each.kind == "innocent"]
    worth = {}
    for step in Step:
        without = Screener(lexicon, ALL_STEPS - {step})
        changed = [text for each in trade if (text := disguised(each.query, step.value, seed))]
        worth[step.value] = {
            "caught": _restricted(whole, changed) - _restricted(without, changed),
            "of": len(changed),
            "false_restrict": _restricted(whole, innocent) - _restricted(without, innocent),
            "false_inform": _touched(whole, innocent) - _touched(without, innocent),
        }
    return worth


def _shares(counts: Mapping[tuple[str, str, Action], int], language: str) -> dict[str, float]:
    def of(kind: str, *actions: Action) -> int:
        return sum(counts[language, kind, action] for action in actions or Action)

    right = of("trade", Action.RESTRICT)
    wrong = of("doubt", Action.RESTRICT) + of("innocent", Action.RESTRICT)
    return {
        "queries": of("trade") + of("doubt") + of("innocent"),
        "trade": of("trade"),
        "innocent": of("innocent"),
        "precision": right / (right + wrong) if right + wrong else float("nan"),
        "recall": right / of("trade"),
        "trade_noticed": of("trade", Action.INFORM, Action.RESTRICT) / of("trade"),
        "doubt_restricted": of("doubt", Action.RESTRICT) / of("doubt"),
        "doubt_informed": of("doubt", Action.INFORM) / of("doubt"),
        "innocent_restricted": of("innocent", Action.RESTRICT) / of("innocent"),
        "innocent_informed": of("innocent", Action.INFORM) / of("innocent"),
    }


def _restricted(screener: Screener, queries: Iterable[str]) -> int:
    return sum(screener.screen(query).action is Action.RESTRICT for query in queries)


def _touched(screener: Screener, queries: Iterable[str]) -> int:
    return sum(screener.screen(query).action is not Action.NONE for query in queries)
