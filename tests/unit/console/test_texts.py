from __future__ import annotations

import re
from pathlib import Path

import pytest

import wildgate_console
from wildgate_console.texts import LANGUAGES, words
from wildgate_enforcement.states import State

_TEMPLATES = Path(wildgate_console.__file__).with_name("templates")
_WORDS = re.compile(r"""_\((?:"([^"]+)"|'([^']+)')\)""")


@pytest.mark.parametrize("language", set(LANGUAGES) - {"en"})
def test_every_word_of_every_page_is_in_every_catalogue(language: str) -> None:
    said = {"".join(found) for file in _TEMPLATES.glob("*.html") for found in _WORDS.findall(file.read_text())}
    assert len(said) > 100
    catalogue = words(language)
    assert {each for each in said | set(map(str, State)) if catalogue.gettext(each) == each} == set()
