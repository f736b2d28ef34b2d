"""life of server keys

Revision: 2026_11_23_1619
Before it: 2026_11_23_1558
Made: 2026-11-23 16:19:50.566642
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_1619"
down_revision = "2026_11_23_1558"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("server_key", sa.Column("name", sa.String(length=100), nullable=True))
    op.add_column("server_key", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "server_key", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("server_key", "last_used_at")
    op.drop_column("server_key", "expires_at")
    op.drop_column("server_key", "name")
