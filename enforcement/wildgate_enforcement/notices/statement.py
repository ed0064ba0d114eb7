"""Statements of reasons in the fields of the EU's DSA transparency database, without personal data.

Fields and limits: https://transparency.dsa.ec.europa.eu/page/api-documentation, schema of July 2025; the duty itself:
Regulation (EU) 2022/2065, articles 17 and 24(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

__all__ = ["Source", "Statement", "Visibility"]

_PUID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_COUNTRY = re.compile("AT|BE|BG|CY|CZ|DE|DK|EE|ES|FI|FR|GR|HR|HU|IE|IS|IT|LI|LT|LU|LV|MT|NL|NO|PL|PT|RO|SE|SI|SK")
# What names or reaches a person: addresses, handles, links, and telephone numbers (a date has eight digits).
_PERSONAL = re.compile(r"@|https?:|www\.|\+\d(?:[\s().-]?\d){6,}|\d(?:[\s().-]?\d){8,}", re.IGNORECASE)


class Visibility(Enum):
    """What becomes of the video."""

    REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
    DISABLED = "DECISION_VISIBILITY_CONTENT_DISABLED"


class Source(Enum):
    """What brought the video to attention."""

    NOTICE = "SOURCE_ARTICLE_16"
    TRUSTED_FLAGGER = "SOURCE_TRUSTED_FLAGGER"
    OTHER_NOTIFICATION = "SOURCE_TYPE_OTHER_NOTIFICATION"
    OWN_INITIATIVE = "SOURCE_VOLUNTARY"


@dataclass(frozen=True, slots=True)
class Statement:
    """A decision on a video that shows animals, or parts of them, offered unlawfully.

    `facts` (up to 5,000 characters), `legal_ground` (500) and `explanation` (2,000) are prose. `decided_by_people` is
    false where nobody looked. `territorial_scope` are two-letter codes of the EEA. Raises ValueError for what the
    database would refuse, and for prose with addresses, handles, links or telephone numbers; names, and short
    telephone numbers, it cannot tell.
    """

    case_id: str
    visibility: Visibility
    legal_ground: str
    explanation: str
    facts: str
    content_date: date
    decided_on: date
    source: Source
    found_by_machine: bool
    decided_by_people: bool
    territorial_scope: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _PUID.fullmatch(self.case_id):
            raise ValueError("case_id must be letters, digits, - and _")
        for name, most in (("legal_ground", 500), ("explanation", 2000), ("facts", 5000)):
            text = getattr(self, name)
            if not 0 < len(text.strip()) <= len(text) <= most:
                raise ValueError(f"{name} must have 1 to {most} characters")
            if _PERSONAL.search(text):
                raise ValueError(f"{name} holds what may be personal data: an address, handle, link or number")
        if not all(map(_COUNTRY.fullmatch, self.territorial_scope)):
            raise ValueError("territorial_scope must be two-letter codes of countries of the EEA")
        if not date(2000, 1, 1) <= self.content_date <= self.decided_on <= date(2038, 1, 1):
            raise ValueError("content_date and decided_on must be in order, from 2000 to 2038")
        if self.decided_on < date(2020, 1, 1):
            raise ValueError("decided_on must be in 2020 or later")

    def fields(self) -> dict[str, Any]:
        """The body of `POST /api/v1/statement`."""
        return {
            "decision_visibility": [self.visibility.value],
            "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
            "illegal_content_legal_ground": self.legal_ground,
            "illegal_content_explanation": self.explanation,
            "content_type": ["CONTENT_TYPE_VIDEO"],
            "category": "STATEMENT_CATEGORY_ANIMAL_WELFARE",
            "category_specification": ["KEYWORD_UNLAWFUL_SALE_ANIMALS"],
            "territorial_scope": sorted(self.territorial_scope),
            "content_date": self.content_date.isoformat(),
            "application_date": self.decided_on.isoformat(),
            "decision_facts": self.facts,
            "source_type": self.source.value,
            "automated_detection": "Yes" if self.found_by_machine else "No",
            "automated_decision": (
                "AUTOMATED_DECISION_NOT_AUTOMATED" if self.decided_by_people else "AUTOMATED_DECISION_FULLY"
            ),
            "puid": self.case_id,
        }
