"""The demo's search queries: one of each kind, screened as `wildgate screen` does."""

from __future__ import annotations

from collections.abc import Iterator

from wildgate_search import Action, Screener, load_lexicon

__all__ = ["QUERIES", "screened"]

QUERIES = (
    ("cheap flights to bangkok", Action.NONE, "everyday"),
    ("ivory soap 10 pack price", Action.NONE, "a brand"),
    ("象牙塔 小说", Action.NONE, "an idiom"),
    ("rhino horn", Action.INFORM, "interest"),
    ("yellow materials", Action.INFORM, "a code alone"),
    ("mua vảy tê tê", Action.RESTRICT, "trade"),
    ("bυy e1ephant 1v0ry", Action.RESTRICT, "trade, disguised"),  # noqa: RUF001
    ("收購 相亚 手串 加微信", Action.RESTRICT, "trade, by its sound"),
)


def screened() -> Iterator[tuple[str, bool]]:
    """A line about each query, and whether it is answered as it should be."""
    screener = Screener(load_lexicon())
    for query, expected, kind in QUERIES:
        answer = screener.screen(query)
        rule = f" by {answer.rule}" if answer.rule else ""
        yield f"{answer.action.name:8} {query} ({kind}){rule}", answer.action is expected
