"""Bad lexicons are refused with place and reason."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from wildgate_search import LexiconError, Screener, load_lexicon
from wildgate_search.lexicon import LANGUAGES, SHIPPED_LEXICON
from wildgate_search.live import LiveScreener

SMALL = """\
version: "1"
classes:
  product: {role: evidence, about: products}
  trade: {role: evidence, common: true, about: trade}
sources:
  own: {title: words, publisher: tests}
messages:
  m: {en: Do not.}
entries:
  - {class: product, source: own, en: [ivory]}
  - {class: trade, source: own, en: [buy]}
rules:
  - {id: both, action: RESTRICT, all: [product, trade], reason: both}
tests:
  - {query: buy ivory, action: RESTRICT}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.joinpath("all.yaml").write_text(SMALL)
    return tmp_path


def change(directory: Path, old: str, new: str) -> None:
    file = directory / "all.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class: trade", "class: trady", "all.yaml:11: unknown class 'trady'"),
        ("source: own, en: [ivory]", "source: old, en: [ivory]", "all.yaml:10: unknown source 'old'"),
        ("[ivory]", "['']", "all.yaml:10: entries.0.en.0: String should have at least 1 character"),
        ("[ivory]", "['-.-']", "all.yaml:10: the term '-.-' is empty once it is folded"),
        ("all: [product, trade]", "all: [product, trade], unless: [trade]", "rule 'both' can never be met"),
        ("all: [product, trade]", "all: [product, code]", "all.yaml:13: rule 'both' names the unknown class 'code'"),
        ("all: [product, trade]", "all: [trade]", "all.yaml:13: rule 'both' can be met by common classes alone"),
        (
            "tests:\n",
            "  - {id: other, action: INFORM, all: [trade, product], reason: both}\ntests:\n",
            "all.yaml:14: rule 'other' contradicts 'both'",
        ),
        ("buy ivory, action: RESTRICT", "buy ivory, action: NONE", "all.yaml:15: 'buy ivory' is RESTRICT"),
        ("reason: both}", "reason: both, colour: red}", "all.yaml:13: rules.0.colour: Extra inputs"),
        ("rules:", "rules: [", "all.yaml: is not YAML"),
        ("[ivory]", "[" * 3000 + "]" * 3000, "all.yaml: cannot be read"),
        ("en: [ivory]", "en: [ivory], en: [tusk]", "all.yaml:10: en is there twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(directory: Path, old: str, new: str, said: str) -> None:
    change(directory, old, new)
    with pytest.raises(LexiconError) as refused:
        Screener(load_lexicon(directory))
    assert said in str(refused.value)


async def test_a_bad_lexicon_leaves_the_old_one_and_a_mended_one_replaces_it(directory: Path) -> None:
    live = LiveScreener(directory)
    old = live.screener
    change(directory, "[ivory]", "['']")
    await live.look()
    assert live.screener is old
    change(directory, "['']", "[ivory, tusk]")
    await live.look()
    assert live.screener is not old
    assert live.screener.screen("buy tusk").rule == "both"


async def test_nothing_is_dropped_while_lexicons_come_and_go(directory: Path) -> None:
    live = LiveScreener(directory)
    versions, done = set[str](), asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            answer = live.screener.screen("buy ivory")
            assert answer.rule == "both"
            versions.add(answer.lexicon_version)
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    for number in range(2, 6):
        change(directory, f'version: "{number - 1}"', f'version: "{number}"')
        await live.look()
        await asyncio.sleep(0)
    done.set()
    await asking
    assert {version.partition("+")[0] for version in versions} >= {"1", "5"}


def test_the_shipped_lexicon_is_as_large_as_it_says_and_names_its_sources(tmp_path: Path) -> None:
    lexicon = load_lexicon()
    roles = {name: each.role for name, each in lexicon.classes.items()}
    evidence = [entry for entry in lexicon.entries if roles[entry.class_name] == "evidence"]
    named = [entry for entry in evidence if entry.source != "own"]
    assert len({entry.taxon for entry in named if entry.taxon}) >= 150
    terms = {(language, term) for entry in named for language, term in entry.terms()}
    assert len(terms) >= 600
    assert {language for language, _ in terms} >= set(LANGUAGES)
    codes = [entry for entry in lexicon.entries if entry.class_name in ("code", "hint")]
    assert all(entry.since and entry.until for entry in codes)
    bred, barred = (
        {term.lower() for entry in evidence if entry.class_name in names for _, term in entry.terms()}
        for names in (("regulated",), ("taxon", "animal"))
    )
    assert bred & barred == set()
    copy = tmp_path / "copy"
    shutil.copytree(SHIPPED_LEXICON, copy)
    assert load_lexicon(copy).full_version == lexicon.full_version
