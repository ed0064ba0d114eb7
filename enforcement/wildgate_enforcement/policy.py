"""What a deployment may want otherwise: leases, ranks, second pairs of eyes, and how many reports are taken."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wildgate_server.config_section import ConfigSection

__all__ = ["EnforcementPolicy", "RankWeights"]

_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]


class RankWeights(ConfigSection):
    """What makes a case pressing; ranks are sums of these, and compare cases only with each other."""

    block: _Weight = 30.0
    """The verdict is BLOCK."""
    review: _Weight = 10.0
    """The verdict is REVIEW."""
    score: _Weight = 10.0
    """Times the highest score of its labels, 0 to 1."""
    appendix_i: _Weight = 20.0
    """The gravest CITES appendix is I."""
    appendix_ii: _Weight = 10.0
    """It is II."""
    appendix_iii: _Weight = 5.0
    """It is III."""
    reach: _Weight = 3.0
    """Times log10 of one more than the views of all its videos."""
    report: _Weight = 5.0
    """Times the weights of all its reports, up to `most_reports` of them."""
    most_reports: _Weight = 6.0
    """So that reporters who agree with each other cannot outrank everything."""
    disseminating: _Weight = 10.0
    """It is shown on meanwhile."""
    appealed: _Weight = 15.0
    """Somebody waits to be heard."""
    hour: _Weight = 0.5
    """Each hour that it waits."""


class EnforcementPolicy(ConfigSection):
    """How cases are decided here."""

    rank: RankWeights = RankWeights()
    """What makes a case pressing."""
    lease_s: int = Field(900, gt=0)
    """How long a claimed case is held, unless the claim says otherwise."""
    longest_lease_s: int = Field(7200, gt=0)
    """How long at most."""
    second_every: int = Field(10, ge=0)
    """From so many confirmed videos of one account on, each needs a second person; 0: none does."""
    second_share: _Share = 0.02
    """Of all confirmations, the share that a second person checks at random: quality."""
    reports_per_hour: int = Field(30, gt=0)
    """Most reports that are taken of a user."""
    trusted_reports_per_hour: int = Field(1000, gt=0)
    """Most reports that are taken of any other source."""
