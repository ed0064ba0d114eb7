"""How much a case is worth to an investigation: points, each with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Facts", "IntelligenceRules", "IntelligenceValue", "intelligence_value", "load_rules", "shipped_rules"]

_MOST = 100


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a case, as counts; `appendix_i` is 1 where a taxon of CITES appendix I was confirmed."""

    earlier_confirmed_cases: int = 0
    cases_with_same_items: int = 0
    cases_with_same_place: int = 0
    appendix_i: int = 0
    quantity: int = 0
    reports_with_contact_details: int = 0


@dataclass(frozen=True, slots=True)
class IntelligenceValue:
    """A score from 0 to 100, its reasons, and whether it is high enough for a referral."""

    score: int
    reasons: tuple[str, ...]
    refer: bool


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fact: str
    at_least: int = Field(ge=1)
    points: int = Field(ge=1, le=_MOST)
    reason: str = Field(min_length=1)

    @field_validator("fact")
    @classmethod
    def _is_a_fact(cls, fact: str) -> str:
        if fact not in (known := [field.name for field in fields(Facts)]):
            raise ValueError(f"is not one of {', '.join(known)}")
        return fact


class IntelligenceRules(BaseModel):
    """The rules, as `intelligence.yaml` has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    referral_from: int = Field(ge=0, le=_MOST)
    rules: tuple[_Rule, ...]


def load_rules(file: Path) -> IntelligenceRules:
    """The rules of a file. Raises OSError, and ValueError for a file that is no rules."""
    try:
        return IntelligenceRules.model_validate(yaml.safe_load(file.read_text()))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: {error}") from error


@lru_cache(maxsize=1)
def shipped_rules() -> IntelligenceRules:
    """The rules that come with the package."""
    return load_rules(Path(__file__).with_name("intelligence.yaml"))


def intelligence_value(facts: Facts, rules: IntelligenceRules | None = None) -> IntelligenceValue:
    """The value of a case with these facts: of each fact the rule with the most points that holds."""
    rules = rules or shipped_rules()
    known = asdict(facts)
    holding: dict[str, _Rule] = {}
    for rule in rules.rules:
        best = holding.get(rule.fact)
        if known[rule.fact] >= rule.at_least and (best is None or rule.points > best.points):
            holding[rule.fact] = rule
    score = min(sum(rule.points for rule in holding.values()), _MOST)
    reasons = tuple(f"{rule.reason} (+{rule.points})" for rule in holding.values())
    return IntelligenceValue(score, reasons, refer=score >= rules.referral_from)
