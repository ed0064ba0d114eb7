"""Disguises of trade queries, made without anything of wildgate_search: its tables, its lexicon, its ideas.

Look-alike letters are chosen by their names in Unicode, homophones by pypinyin's phrases, traditional forms by opencc's
Hong Kong and Taiwan standards. What was tried here was not looked at while the lexicon was tuned.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache

import opencc
from pypinyin import lazy_pinyin

__all__ = ["DISGUISES", "disguised"]

_HAN = re.compile(r"[\u4e00-\u9fff]")
_SPACES = " \u00a0\u2009\u200a\u3000\u200b\u2060\t"
_POINTS = ".-_*~'·|/,^•+"
_EMOJI = "🔥💎✨❤⭐🌟😍🛒💰"
_LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7"}
_SPLIT = (
    "胆月旦 豹豸勺 狮犭师 猴犭侯 鳞鱼粦 玳王代 瑁王冒 麝鹿射 羚羊令 砗石车 磲石渠 鹦婴鸟 鹉武鸟 雕周隹 "
    "珊王册 瑚王胡 穿穴牙 鹤隺鸟 购贝勾 镯钅蜀 批扌比 价亻介 掌尚手 沉氵冗 懒忄赖 獭犭赖 酒氵酉 檀木亶"
)
_HALVES = {each[0]: each[1:] for each in _SPLIT.split()}


def _look_alikes() -> Mapping[str, list[str]]:
    """By letter, what Unicode names as another script's or style's letter of that name."""
    name = re.compile(
        r"^(CYRILLIC|GREEK|LATIN|FULLWIDTH LATIN|MATHEMATICAL [A-Z -]+) (SMALL |CAPITAL )?(LETTER )?"
        r"(ALPHA|OMICRON|IOTA|[A-Z]|IE|O|ES|ER|HA)$"
    )
    sounds = {"ALPHA": "a", "OMICRON": "o", "IOTA": "i", "IE": "e", "ES": "c", "ER": "p", "HA": "x"}
    found = defaultdict[str, list[str]](list)
    for code in [*range(0x80, 0x600), *range(0xFF21, 0xFF5B), *range(0x1D400, 0x1D6A4)]:
        match = name.match(unicodedata.name(chr(code), ""))
        if match and (match[4] in sounds or len(match[4]) == 1):
            letter = sounds.get(match[4], match[4].lower())
            if match[1] != "GREEK" or match[4] in ("ALPHA", "OMICRON", "IOTA"):
                found[letter].append(chr(code))
    return found


_ALIKE = _look_alikes()


def _by_sound() -> Mapping[str, str]:
    """Common characters by their sound, without tones."""
    common = [bytes([high + 0xA0, low + 0xA0]).decode("gb2312") for high in range(16, 56) for low in range(1, 90)]
    sounds = defaultdict[str, str](str)
    for character in common:
        sounds[lazy_pinyin(character)[0]] += character
    return sounds


_HOMOPHONES = _by_sound()


def _between(query: str, chance: random.Random, what: str, share: float) -> str:
    """Something put between letters inside words."""
    out = []
    for at, letter in enumerate(query):
        out.append(letter)
        if letter.isalpha() and query[at + 1 : at + 2].isalpha() and chance.random() < share:
            out.append(chance.choice(what))
    return "".join(out)


def _each(query: str, chance: random.Random, change: Callable[[str], str], share: float) -> str:
    return "".join(change(letter) if chance.random() < share else letter for letter in query)


def _width(query: str, chance: random.Random) -> str:
    return _each(query, chance, lambda each: chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each, 0.8)


def _case(query: str, chance: random.Random) -> str:
    return _each(query, chance, str.upper, 0.5)


def _spacing(query: str, chance: random.Random) -> str:
    return _between(query, chance, chance.choice(_SPACES), 0.7)


def _punctuation(query: str, chance: random.Random) -> str:
    return _between(query, chance, chance.choice(_POINTS), 0.7)


def _emoji(query: str, chance: random.Random) -> str:
    return _between(query, chance, _EMOJI, 0.4)


def _confusables(query: str, chance: random.Random) -> str:
    return _each(query, chance, lambda each: chance.choice(_ALIKE.get(each, [each])), 0.4)


def _leet(query: str, chance: random.Random) -> str:
    return _each(query, chance, lambda each: chance.choice(_LEET.get(each, each)), 0.5)


def _script(query: str, chance: random.Random) -> str:
    return str(_converter(chance.choice(["s2t", "s2hk", "s2tw"])).convert(query))


@cache
def _converter(standard: str) -> opencc.OpenCC:
    return opencc.OpenCC(standard)


def _pinyin(query: str, chance: random.Random) -> str:
    """One or two characters written as others of the same sound."""
    places = [at for at, each in enumerate(query) if _HAN.match(each)]
    letters = list(query)
    for at in chance.sample(places, min(len(places), chance.choice([1, 2]))):
        letters[at] = chance.choice(_HOMOPHONES.get(lazy_pinyin(letters[at])[0], letters[at]))
    return "".join(letters)


def _doubled(query: str, chance: random.Random) -> str:
    return _each(query, chance, lambda each: each * chance.choice([2, 3]) if each.isalpha() else each, 0.3)


def _split(query: str, chance: random.Random) -> str:
    return "".join(_HALVES.get(each, each) for each in query)


def _joined(query: str, chance: random.Random) -> str:
    return query.replace(" ", "")


def _several(query: str, chance: random.Random) -> str:
    for disguise in chance.sample([_case, _punctuation, _emoji, _doubled, _confusables, _leet], 2):
        query = disguise(query, chance)
    return query


_ALL = (
    *(_width, _case, _spacing, _punctuation, _emoji, _confusables, _leet),
    *(_script, _pinyin, _doubled, _split, _joined, _several),
)
DISGUISES: Mapping[str, Callable[[str, random.Random], str]] = {each.__name__.strip("_"): each for each in _ALL}
"""By name; script, pinyin and split are for Chinese."""


def disguised(query: str, name: str, seed: int) -> str | None:
    """The query in a disguise; None where it would be as it was."""
    changed = DISGUISES[name](query, random.Random(f"{seed} {name} {query}"))
    return changed if changed != query else None
