from __future__ import annotations

import random
from statistics import mean

from wildgate_search import Action, Answer, Match
from wildgate_search.counts import CountSettings, PrivateCounts
from wildgate_search.lexicon import load_lexicon
from wildgate_search.screener import Screener
from wildgate_search.suggestions import suggested


def restricted(term: str, action: Action = Action.RESTRICT) -> Answer:
    match = Match(term, "product", "en", "", "own", 0, 1)
    return Answer(action, "1", rule="product-trade", matches=(match,))


def test_few_are_not_told_and_many_are_told_about() -> None:
    counts = PrivateCounts(CountSettings(least=20), random.Random(1))
    for _ in range(100):
        counts.add(restricted("ivory"))
        counts.add(restricted("rhino horn", Action.INFORM))
    counts.add(restricted("tiger bone"))
    [told] = counts.release()
    assert told.terms == ("ivory",)
    assert abs(told.count - 100) < 15
    assert counts.release() == []


def test_the_noise_is_that_of_epsilon() -> None:
    noise = []
    chance = random.Random(2)
    for _ in range(400):
        counts = PrivateCounts(CountSettings(epsilon=0.5, least=2), chance)
        for _ in range(60):
            counts.add(restricted("ivory"))
        noise += [told.count - 60 for told in counts.release()]
    assert abs(mean(noise)) < 0.6
    variance = mean(each * each for each in noise)  # 2 a / (1 - a)^2 with a = exp(-epsilon): 7.8
    assert 6 < variance < 10


def test_unknown_words_beside_known_terms_are_suggested() -> None:
    queries = [f"buy elephant ivory bangle zhuzi {number}" for number in range(6)]
    queries += ["buy running shoes"] * 30 + ["buy elephant ivory once only"]
    [suggestion] = suggested(Screener(load_lexicon()), queries)
    assert (suggestion.word, suggestion.restricted, suggestion.others) == ("zhuzi", 6, 0)
