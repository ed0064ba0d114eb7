"""Generates the tables of characters, from Unicode's confusables, opencc and pypinyin: `make tables`."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator

from confusable_homoglyphs import confusables
from opencc import OpenCC
from pypinyin import lazy_pinyin

from wildgate_search.tables import DIRECTORY, TABLES, rendered

_SHAPED = re.compile(
    "(?:LATIN LETTER SMALL CAPITAL|NEGATIVE (?:SQUARED|CIRCLED) LATIN CAPITAL LETTER|REGIONAL INDICATOR SYMBOL LETTER)"
    " ([A-Z])"
)  # of flags, ᴀ, 🅐, 🅰: neither compatibility forms nor among the confusables
_HAN = [chr(code) for code in range(0x4E00, 0xA000)]


def main() -> None:
    """Writes every table."""
    for name, pairs in zip(TABLES, (_look_alikes(), _syllables(), _traditional()), strict=True):
        DIRECTORY.joinpath(f"{name}.txt").write_text(rendered(pairs), encoding="utf-8")


def _look_alikes() -> Iterator[tuple[str, str]]:
    """What only looks like a letter or digit; what is one in another shape is folded by Unicode's decomposition."""
    seen = set()
    for letter in string.ascii_lowercase + string.digits:
        for shape in (letter, letter.upper()):
            for entry in confusables.is_confusable(shape, greedy=True) or ():
                for homoglyph in entry["homoglyphs"]:
                    alike = unicodedata.normalize("NFKD", homoglyph["c"]).casefold()
                    if len(alike) == 1 and not alike.isascii() and alike not in seen:
                        seen.add(alike)
                        yield alike, letter
    for character in map(chr, range(0x250, 0x1F200)):
        shaped = _SHAPED.fullmatch(unicodedata.name(character, ""))
        if shaped and character not in seen:
            yield character, shaped[1].lower()


def _syllables() -> Iterator[tuple[str, str]]:
    """The most usual reading, without its tone, of the characters that GB 2312 has."""
    for character in _HAN:
        if _encodable(character, "gb2312"):
            yield character, lazy_pinyin(character)[0].replace("ü", "v")


def _traditional() -> Iterator[tuple[str, str]]:
    convert = OpenCC("t2s").convert
    for character in _HAN:
        simplified = convert(character)
        if simplified != character and len(simplified) == 1:
            yield character, simplified


def _encodable(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    main()
