"""What is said of a query."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Action", "Answer", "Match"]


class Action(IntEnum):
    """What is to be done with a query; a graver action is a higher number."""

    NONE = 1
    INFORM = 2
    RESTRICT = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A term in a query: from character `start` to before `end` of the query as it was sent.

    `sounds` says that it only sounds like the term, which is no evidence by itself. `excused_by` is the phrase that it
    is part of.
    """

    term: str
    class_name: str
    language: str
    group: str
    source: str
    start: int
    end: int
    sounds: bool = False
    excused_by: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be done, by which rule and why. `demote` are labels of the gateway's policy: whose videos to demote.

    `notes` are lines that explain, where they were asked for.
    """

    action: Action
    lexicon_version: str
    rule: str = ""
    reason: str = ""
    message_id: str = ""
    message: str = ""
    matches: tuple[Match, ...] = ()
    demote: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
