"""purchases by the hour

Revision: 2026_11_23_1558
Before it: 0001
Made: 2026-11-23 15:58:21.655430
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_1558"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "job_progress",
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("done_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_job_progress"),
    )
    op.create_table(
        "purchase_hour",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("purchases", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("purchases > 0", name="ck_purchase_hour_purchases"),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_purchase_hour_product_id"),
        sa.PrimaryKeyConstraint("hour", "product_id", name="pk_purchase_hour"),
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("purchase_hour")
    op.drop_table("job_progress")
