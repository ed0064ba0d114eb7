"""The life of a case: every state, every step that leads out of it, and where to.

open ──confirm──────────────▶ confirmed ──appeal──▶ appealed ──┬─▶ confirmed
 │ └─confirm, asks for two──▶ second ──confirm─▶ confirmed     └─▶ harmless
 │                              └─disagree─▶ escalated ─▶ confirmed, harmless
 └──harmless────────────────▶ harmless ──appeal──▶ appealed

A decision that is undone in time leads back to where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from wildgate_enforcement.errors import WrongState

__all__ = ["DECIDED", "TRANSITIONS", "WAITING", "State", "Step", "after"]


class State(StrEnum):
    """Where a case stands; the names are those of the API."""

    OPEN = "open"
    SECOND = "second"
    ESCALATED = "escalated"
    CONFIRMED = "confirmed"
    HARMLESS = "harmless"
    APPEALED = "appealed"


class Step(StrEnum):
    """What moves a case."""

    CONFIRM = "confirm"
    CONFIRM_FIRST = "confirm_first"  # policy asks for a second person
    HARMLESS = "harmless"
    DISAGREE = "disagree"  # of the second person
    NOT_SURE = "not_sure"
    ESCALATE = "escalate"
    WITHDRAW = "withdraw"
    APPEAL = "appeal"


TRANSITIONS: Final[Mapping[State, Mapping[Step, State]]] = MappingProxyType(
    {
        State.OPEN: {
            Step.CONFIRM: State.CONFIRMED,
            Step.CONFIRM_FIRST: State.SECOND,
            Step.HARMLESS: State.HARMLESS,
            Step.NOT_SURE: State.OPEN,
            Step.ESCALATE: State.ESCALATED,
        },
        State.SECOND: {
            Step.CONFIRM: State.CONFIRMED,
            Step.DISAGREE: State.ESCALATED,
            Step.NOT_SURE: State.SECOND,
            Step.ESCALATE: State.ESCALATED,
            Step.WITHDRAW: State.OPEN,
        },
        State.ESCALATED: {
            Step.CONFIRM: State.CONFIRMED,
            Step.HARMLESS: State.HARMLESS,
            Step.NOT_SURE: State.ESCALATED,
        },
        State.CONFIRMED: {Step.APPEAL: State.APPEALED},
        State.HARMLESS: {Step.APPEAL: State.APPEALED},
        State.APPEALED: {
            Step.CONFIRM: State.CONFIRMED,
            Step.HARMLESS: State.HARMLESS,
            Step.NOT_SURE: State.APPEALED,
        },
    }
)

DECIDED: Final = frozenset({State.CONFIRMED, State.HARMLESS})
"""Nobody needs to look, until somebody appeals."""
WAITING: Final = frozenset(State) - DECIDED
"""In the queue."""


def after(state: State, step: Step) -> State:
    """The state that a step leads to. Raises WrongState."""
    if (reached := TRANSITIONS[state].get(step)) is None:
        raise WrongState(f"a case that is {state} cannot take the step {step}", metadata={"state": state})
    return reached
