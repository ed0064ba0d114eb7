"""The console's words in the languages that it speaks: gettext catalogues, read as they are written."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import Request

__all__ = ["LANGUAGES", "language_of", "words"]

_LOCALES = Path(__file__).with_name("locales")
LANGUAGES = {"en": "English", "zh": "中文"}


def language_of(request: Request) -> str:
    """What the reader chose, or their browser asks for."""
    if (chosen := request.cookies.get("language", "")) in LANGUAGES:
        return chosen
    asked = [part.split(";")[0].strip().split("-")[0] for part in request.headers.get("accept-language", "").split(",")]
    return next((each for each in asked if each in LANGUAGES), "en")


@cache
def words(language: str) -> NullTranslations:
    """The catalogue of a language; English is what the pages are written in."""
    file = _LOCALES / f"{language}.po"
    if not file.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return Translations(fp=compiled)
