"""The value of a case follows from its facts, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from wildgate_enforcement.referral.intelligence import Facts, intelligence_value, load_rules, shipped_rules


def test_a_case_without_such_facts_is_of_no_value() -> None:
    assert intelligence_value(Facts()).score == 0
    assert intelligence_value(Facts()).refer is False


def test_points_add_up_with_their_reasons_and_of_one_fact_the_highest_counts() -> None:
    value = intelligence_value(Facts(quantity=12, appendix_i=1, reports_with_contact_details=2))
    assert (value.score, value.refer) == (60, True)
    assert set(value.reasons) == {
        "ten items or more (+20)",
        "a taxon of CITES appendix I (+25)",
        "a report holds contact details (+15)",
    }


def test_the_score_never_exceeds_100() -> None:
    assert sum(rule.points for rule in shipped_rules().rules) > 100
    assert intelligence_value(Facts(9, 9, 9, 1, 99, 9)).score == 100


@pytest.mark.parametrize(
    "text",
    ["", "rules: [", "referral_from: 50\nrules: [{fact: mood, at_least: 1, points: 1, reason: x}]", "[1]"],
)
def test_a_file_that_is_no_rules_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"rules|fact|Intelligence"):
        load_rules(tmp_path / "rules.yaml")
