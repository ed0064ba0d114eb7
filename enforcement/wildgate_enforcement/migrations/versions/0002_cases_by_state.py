"""Counts of cases by state, and the ranks within one, come from an index."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the index."""
    op.create_index("cases_by_state", "cases", ["state", "rank", "id"])
