"""what metrics tell: when each job last ended well, and how many coins there are

Revision: 2026_11_24_0130
Before it: 2026_11_23_1900
Made: 2026-11-24 01:30:12.118264
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_24_0130"
down_revision = "2026_11_23_1900"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "job_progress", sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_table(
        "circulation",
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("coins", sa.Double(), nullable=False),
        sa.Column("owed", sa.Double(), nullable=False),
        sa.Column("users", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("measured_at", name="pk_circulation"),
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("circulation")
    op.drop_column("job_progress", "succeeded_at")
