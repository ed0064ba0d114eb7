"""Screens search queries: most pass untouched, some get a conservation notice, a few are restricted."""

from wildgate_search.answer import Action, Answer, Match
from wildgate_search.errors import LexiconError
from wildgate_search.lexicon import Lexicon, load_lexicon
from wildgate_search.screener import Screener

__all__ = ["Action", "Answer", "Lexicon", "LexiconError", "Match", "Screener", "load_lexicon"]
