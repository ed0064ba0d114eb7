"""Decisions that can be taken back for a while, and referrals that leave pictures out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("decisions", sa.Column("undo_until_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("decisions", sa.Column("as_it_was", sa.JSON()))
    op.add_column("referrals", sa.Column("frames", sa.JSON()))
