"""the economy

Revision: 0001
Before it:
Made: 2026-11-23 13:21:52.140053
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Each journal row is one balanced double entry: its two legs add up to nothing.
LEDGER_ENTRY = """
CREATE VIEW ledger_entry AS
SELECT user_id, id AS transaction_id, seq, 'user' AS account,
       CASE kind WHEN 'top_up' THEN amount ELSE -amount END AS amount, created_at
FROM "transaction" WHERE status = 'completed'
UNION ALL
SELECT user_id, id, seq,
       CASE kind WHEN 'top_up' THEN 'mint' WHEN 'purchase' THEN 'sales' ELSE 'consumption' END,
       CASE kind WHEN 'top_up' THEN -amount ELSE amount END, created_at
FROM "transaction" WHERE status = 'completed'
"""

# The journal is append-only, but for one step: a pending row is completed or fails, once.
POSTGRES_GUARDS = (
    """
CREATE FUNCTION transaction_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    settled CONSTANT text[] := ARRAY['status', 'balance_after', 'failure_code', 'completed_at'];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'pending' AND NEW.status IN ('completed', 'failed')
        AND to_jsonb(NEW) - settled = to_jsonb(OLD) - settled
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER transaction_append_only BEFORE UPDATE OR DELETE ON transaction
FOR EACH ROW EXECUTE FUNCTION transaction_is_append_only()
""",
    """
CREATE TRIGGER transaction_no_truncate BEFORE TRUNCATE ON transaction
FOR EACH STATEMENT EXECUTE FUNCTION transaction_is_append_only()
""",
)
SETTLED = {"status", "balance_after", "failure_code", "completed_at"}
COLUMNS = (
    *("user_id", "id", "seq", "kind", "status", "product_id", "quantity", "amount"),
    *("balance_after", "quantity_after", "failure_code", "actor", "idempotency_key"),
    *("request_hash", "external_reference", "created_at", "completed_at"),
)
UNCHANGED = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in COLUMNS if name not in SETTLED)
SQLITE_GUARDS = (
    f"""
CREATE TRIGGER transaction_append_only BEFORE UPDATE ON "transaction"
WHEN NOT (OLD.status = 'pending' AND NEW.status IN ('completed', 'failed') AND {UNCHANGED})
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
""",
    """
CREATE TRIGGER transaction_no_delete BEFORE DELETE ON "transaction"
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
""",
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "claim",
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('username', 'email', 'external_reference')", name="ck_claim_kind"
        ),
        sa.PrimaryKeyConstraint("value", "kind", name="pk_claim"),
    )
    op.create_table(
        "product",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("type IN ('consumable', 'permanent')", name="ck_product_type"),
        sa.CheckConstraint("price BETWEEN 0 AND 1000000000000", name="ck_product_price"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "type", name="uq_product_id_type"),
    )
    op.create_table(
        "server_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_server_key"),
        sa.UniqueConstraint("key_hash", name="uq_server_key_key_hash"),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("username", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("balance BETWEEN 0 AND 9007199254740991", name="ck_user_balance"),
        sa.CheckConstraint("last_seq >= 0", name="ck_user_last_seq"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "inventory",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("product_type", sa.String(length=16), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("purchased_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "product_type <> 'permanent' OR quantity <= 1", name="ck_inventory_permanent_once"
        ),
        sa.CheckConstraint("quantity BETWEEN 0 AND 1000000000", name="ck_inventory_quantity"),
        sa.ForeignKeyConstraint(
            ["product_id", "product_type"],
            ["product.id", "product.type"],
            name="fk_inventory_product_id_product_type",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_inventory_user_id"),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_inventory"),
        sa.UniqueConstraint("user_id", "product_id", name="uq_inventory_user_id_product_id"),
    )
    op.create_table(
        "transaction",
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=True),
        sa.Column("quantity_after", sa.BigInteger(), nullable=True),
        sa.Column("failure_code", sa.String(length=32), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("external_reference", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'failed') = (failure_code IS NOT NULL)", name="ck_transaction_failure_code"
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (completed_at IS NULL) "
            "AND (status = 'pending') = (balance_after IS NULL)",
            name="ck_transaction_completed",
        ),
        sa.CheckConstraint("kind IN ('purchase', 'top_up', 'use')", name="ck_transaction_kind"),
        sa.CheckConstraint(
            "status IN ('pending', 'completed', 'failed')", name="ck_transaction_status"
        ),
        sa.CheckConstraint(
            "(product_id IS NULL) = (quantity IS NULL) "
            "AND (product_id IS NULL) = (quantity_after IS NULL)",
            name="ck_transaction_product",
        ),
        sa.CheckConstraint("amount BETWEEN 0 AND 9007199254740991", name="ck_transaction_amount"),
        sa.CheckConstraint(
            "balance_after BETWEEN 0 AND 9007199254740991", name="ck_transaction_balance_after"
        ),
        sa.CheckConstraint("quantity BETWEEN 1 AND 1000", name="ck_transaction_quantity"),
        sa.CheckConstraint(
            "quantity_after BETWEEN 0 AND 1000000000", name="ck_transaction_quantity_after"
        ),
        sa.CheckConstraint("seq >= 1", name="ck_transaction_seq"),
        sa.ForeignKeyConstraint(["product_id"], ["product.id"], name="fk_transaction_product_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_transaction_user_id"),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_transaction"),
        sa.UniqueConstraint(
            "user_id", "kind", "idempotency_key", name="uq_transaction_user_id_kind_idempotency_key"
        ),
        sa.UniqueConstraint("user_id", "seq", name="uq_transaction_user_id_seq"),
    )
    completed_purchase = sa.text("kind = 'purchase' AND status = 'completed'")
    op.create_index(
        "ix_transaction_completed_purchase",
        "transaction",
        ["created_at", "product_id"],
        postgresql_where=completed_purchase,
        sqlite_where=completed_purchase,
    )
    op.execute(LEDGER_ENTRY)
    is_postgres = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRES_GUARDS if is_postgres else SQLITE_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ledger_entry")
    op.drop_table("transaction")
    op.drop_table("inventory")
    op.drop_table("user")
    op.drop_table("server_key")
    op.drop_table("product")
    op.drop_table("claim")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION transaction_is_append_only")
