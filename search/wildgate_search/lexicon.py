"""The lexicon as people write it: YAML files of terms, classes, rules and notices, checked as a whole.

A directory is read as one document; each file may hold any part of it. What is wrong is told with file, line and
reason, all of it at once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wildgate_search.answer import Action
from wildgate_search.errors import LexiconError

__all__ = ["LANGUAGES", "SHIPPED_LEXICON", "Entry", "Lexicon", "Rule", "load_lexicon"]

SHIPPED_LEXICON = Path(__file__).with_name("lexicon")
LANGUAGES = ("en", "zh", "vi", "th", "id", "es")
_Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
_Terms = tuple[_Text, ...]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Section):
    """Where terms come from, and where they can be checked."""

    title: _Text
    publisher: _Text
    url: str = ""


class TermClass(_Section):
    """What the terms of a class do: meet rules, prevent them, take away what they cover, or nothing.

    `common` ones are in many queries: every rule needs another class, and where none is found, the search ends early.
    """

    role: Literal["evidence", "context", "covers", "filler"]
    common: bool = False
    about: _Text


class Group(_Section):
    """The notice for a group of terms, and the labels of the gateway's policy whose videos are to be demoted."""

    message: _Text
    demote: _Terms = ()


class Entry(_Section):
    """Terms of one class and source, by language; `la` is the scientific name.

    `apart`: they count only where nothing touches them. `exact_accents`: they count only with their accents.
    """

    class_name: _Text = Field(alias="class")
    source: _Text
    group: str = ""
    taxon: str = ""
    appendix: Annotated[str, Field(pattern=r"^(I|II|III)(/(I|II|III))*$|^$")] = ""
    since: dt.date | None = None
    until: dt.date | None = None
    apart: bool = False
    exact_accents: bool = False
    en: _Terms = ()
    zh: _Terms = ()
    vi: _Terms = ()
    th: _Terms = ()
    id: _Terms = ()
    es: _Terms = ()
    emoji: _Terms = ()

    @model_validator(mode="after")
    def _says_something(self) -> Entry:
        if not any(self.terms()):
            raise ValueError("an entry needs a term")
        if self.since and self.until and self.since > self.until:
            raise ValueError("since is later than until")
        return self

    def terms(self) -> Iterator[tuple[str, str]]:
        """Language and term of each."""
        for language in (*LANGUAGES, "emoji"):
            yield from ((language, term) for term in getattr(self, language))
        if self.taxon:
            yield "la", self.taxon

    def holds_on(self, day: dt.date) -> bool:
        """Whether it has not expired by `day`."""
        return self.until is None or day <= self.until


class Rule(_Section):
    """Which classes together call for an action.

    `sounds`: terms that the query only sounds like count too, if one of the classes is there as it is written.
    """

    id: _Text
    action: Literal["INFORM", "RESTRICT"]
    reason: _Text
    all: Annotated[_Terms, Field(min_length=1)]
    any: _Terms = ()
    unless: _Terms = ()
    nothing_else: bool = False
    sounds: bool = False

    @property
    def grave(self) -> Action:
        """The action."""
        return Action[self.action]

    @property
    def condition(self) -> tuple[object, ...]:
        """What two rules have in common that are met by the same queries."""
        return frozenset(self.all), frozenset(self.any), frozenset(self.unless), self.nothing_else, self.sounds


class Example(_Section):
    """A query of the lexicon's own, and what is to come of it."""

    query: _Text
    action: Literal["NONE", "INFORM", "RESTRICT"]


class Lexicon(_Section):
    """All files together. `places` says in which file and line each part stands; `digest` is of all bytes."""

    version: _Text
    classes: Annotated[dict[str, TermClass], Field(min_length=1)]
    endings: dict[str, tuple[str, ...]] = {}
    sources: dict[str, Source]
    groups: dict[str, Group] = {}
    messages: dict[str, dict[str, _Text]] = {}
    splits: dict[str, _Text] = {}
    entries: Annotated[tuple[Entry, ...], Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    tests: tuple[Example, ...] = ()
    digest: str = ""
    places: Mapping[tuple[str | int, ...], str] = {}

    @property
    def full_version(self) -> str:
        """The version, and what tells two contents of the same version apart."""
        return f"{self.version}+{self.digest[:10]}"

    def place(self, *path: str | int) -> str:
        """File and line of a part, as near as is known."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "the lexicon")

    def faults(self) -> Iterator[str]:
        """What is wrong with the whole, one line each."""
        for at, entry in enumerate(self.entries):
            here = self.place("entries", at)
            if entry.class_name not in self.classes:
                yield f"{here}: unknown class {entry.class_name!r}"
            if entry.source not in self.sources:
                yield f"{here}: unknown source {entry.source!r}"
            if entry.group and entry.group not in self.groups:
                yield f"{here}: unknown group {entry.group!r}"
        for name, group in self.groups.items():
            if "en" not in self.messages.get(group.message, {}):
                yield f"{self.place('groups', name)}: no message {group.message!r} in English"
        yield from self._rule_faults()

    def _rule_faults(self) -> Iterator[str]:
        seen: dict[tuple[object, ...], Rule] = {}
        ids: set[str] = set()
        for at, rule in enumerate(self.rules):
            here = f"{self.place('rules', at)}: rule {rule.id!r}"
            if rule.id in ids:
                yield f"{here} is there twice"
            ids.add(rule.id)
            yield from (f"{here} {fault}" for fault in self._unmeetable(rule))
            other = seen.setdefault(rule.condition, rule)
            if other is not rule:
                contradicts = "contradicts" if other.action != rule.action else "repeats"
                yield f"{here} {contradicts} {other.id!r}: the same queries meet both"

    def _unmeetable(self, rule: Rule) -> Iterator[str]:
        filled = {entry.class_name for entry in self.entries}
        for name in (*rule.all, *rule.any, *rule.unless):
            if name not in self.classes:
                yield f"names the unknown class {name!r}"
            elif name in (*rule.all, *rule.any) and self.classes[name].role != "evidence":
                yield f"can never be met: {name!r} is no evidence"
        for name in rule.all:
            if name in self.classes and name not in filled:
                yield f"can never be met: no term has the class {name!r}"
            if name in rule.unless:
                yield f"can never be met: {name!r} is wanted and excluded"
        rare = {name for name, each in self.classes.items() if not each.common}
        if not rare.intersection(rule.all) and not (rule.any and rare.issuperset(rule.any)):
            yield "can be met by common classes alone"
        if rule.any and not filled.intersection(rule.any).difference(rule.unless):
            yield "can never be met: no term has one of the classes in any"


def load_lexicon(directory: Path = SHIPPED_LEXICON) -> Lexicon:
    """Reads and checks the YAML files of a directory. Raises LexiconError."""
    document: dict[str, Any] = {}
    places: dict[tuple[str | int, ...], str] = {}
    digest = hashlib.sha256()
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise LexiconError([f"{directory}: there is no YAML file"])
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            node = yaml.compose(text, yaml.CSafeLoader)
            content = yaml.load(text, yaml.CSafeLoader)
            twice = [f"{file.name}:{line}: {key} is there twice" for key, line in _twice(node)]
        except (OSError, ValueError, TypeError, RecursionError) as error:  # also a key that is a list, and [[[[...
            raise LexiconError([f"{file.name}: cannot be read: {error}"]) from error
        except yaml.YAMLError as error:
            raise LexiconError([f"{file.name}: is not YAML: {error}"]) from error
        if not isinstance(content, dict) or not isinstance(node, yaml.MappingNode):
            raise LexiconError([f"{file.name}:1: is not a mapping"])
        if twice:
            raise LexiconError(twice)
        digest.update(text.encode())
        _merge(document, content, node, file.name, places)
    try:
        lexicon = Lexicon.model_validate({**document, "digest": digest.hexdigest(), "places": places})
    except ValidationError as error:
        raise LexiconError(list(_placed(error, places))) from error
    if faults := list(lexicon.faults()):
        raise LexiconError(faults)
    return lexicon


def _merge(
    document: dict[str, Any],
    content: dict[Any, Any],
    node: yaml.MappingNode,
    file: str,
    places: dict[tuple[str | int, ...], str],
) -> None:
    """Adds a file's parts to the document, and where they stand."""
    for (key_node, value_node), (key, value) in zip(node.value, content.items(), strict=False):
        line = f"{file}:{key_node.start_mark.line + 1}"
        there = document.setdefault(key, type(value)())
        places.setdefault((key,), line)
        if isinstance(value, list) and isinstance(there, list):
            for offset, item in enumerate(value_node.value):
                places[key, len(there) + offset] = f"{file}:{item.start_mark.line + 1}"
            there.extend(value)
        elif isinstance(value, dict) and isinstance(there, dict):
            for name_node, _ in value_node.value:
                name = name_node.value
                if name in there:
                    raise LexiconError([f"{file}:{name_node.start_mark.line + 1}: {key}.{name} is there twice"])
                places[key, name] = f"{file}:{name_node.start_mark.line + 1}"
            there.update(value)
        elif there != type(value)() and there is not value:
            raise LexiconError([f"{line}: {key} is there twice, or of another kind"])
        else:
            document[key] = value


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Keys of one mapping that YAML would let replace one another, with their lines."""
    if isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _twice(each)


def _placed(error: ValidationError, places: Mapping[tuple[str | int, ...], str]) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        path = tuple(fault["loc"])
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in places), ())
        place = places.get(known, "the lexicon")
        field = ".".join(map(str, path))
        value = "" if fault["type"] == "missing" else f" (is {fault['input']!r:.80})"
        yield f"{place}: {field}: {fault['msg'].removeprefix('Value error, ')}{value}"
