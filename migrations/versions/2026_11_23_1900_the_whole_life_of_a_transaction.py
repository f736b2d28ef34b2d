"""the whole life of a transaction

Top-ups that wait for their payment, reversals and debts, a chain of hashes over each history, users
that are deleted, and what each verification has found.

It reads and writes every row of the journal once, with the table locked: nobody posts meanwhile.

Revision: 2026_11_23_1900
Before it: 2026_11_23_1619
Made: 2026-11-23 19:00:00.000000
"""

import hashlib
from datetime import UTC, datetime

import orjson
import sqlalchemy as sa
from alembic import op
from alembic.util.exc import CommandError

revision = "2026_11_23_1900"
down_revision = "2026_11_23_1619"
branch_labels = None
depends_on = None

BALANCE_LIMIT = 9007199254740991
NO_HISTORY = "0" * 64  # hexadecimal
ROWS_AT_ONCE = 1_000

NEW_COLUMNS = {
    "debt_after": sa.BigInteger(),
    "target_id": sa.Uuid(),
    "shortfall": sa.BigInteger(),
    "settled_seq": sa.BigInteger(),
    "hash": sa.LargeBinary(length=32),
    "settled_hash": sa.LargeBinary(length=32),
}
KINDS = (
    "'purchase', 'top_up', 'use', 'debit', 'grant', 'revocation', 'reversal', 'top_up_settlement'"
)
IS_REVERSAL = "kind = 'reversal' AND status = 'completed'"
NEW_CHECKS = {
    "ck_transaction_kind": f"kind IN ({KINDS})",
    "ck_transaction_quantity": "quantity BETWEEN 0 AND 1000 "
    "AND (quantity > 0 OR kind = 'reversal')",
    "ck_transaction_completed": "(status = 'pending') = (completed_at IS NULL) "
    "AND (status = 'pending') = (balance_after IS NULL) "
    "AND (status = 'pending') = (debt_after IS NULL) "
    "AND (status = 'pending') = (settled_seq IS NULL)",
    "ck_transaction_pending_top_up": "status <> 'pending' OR kind = 'top_up'",
    "ck_transaction_debt_after": f"debt_after BETWEEN 0 AND {BALANCE_LIMIT} "
    "AND (debt_after = 0 OR balance_after = 0)",
    "ck_transaction_settled_seq": "settled_seq >= seq "
    "AND (settled_seq > seq) = (settled_hash IS NOT NULL)",
    "ck_transaction_target_id": "(kind IN ('reversal', 'top_up_settlement')) "
    "= (target_id IS NOT NULL)",
    "ck_transaction_shortfall": f"shortfall BETWEEN 0 AND {BALANCE_LIMIT}",
    "ck_transaction_shortfall_of_reversal": f"({IS_REVERSAL}) = (shortfall IS NOT NULL)",
}
OLD_CHECKS = {
    "ck_transaction_kind": "kind IN ('purchase', 'top_up', 'use')",
    "ck_transaction_quantity": "quantity BETWEEN 1 AND 1000",
    "ck_transaction_completed": "(status = 'pending') = (completed_at IS NULL) "
    "AND (status = 'pending') = (balance_after IS NULL)",
}
NEW_INDEXES = {
    "uq_transaction_reversal": (["user_id", "target_id"], IS_REVERSAL, True),
    "uq_transaction_settled_seq": (
        ["user_id", "settled_seq"],
        "settled_hash IS NOT NULL",
        True,
    ),
    "ix_transaction_pending": (["created_at"], "status = 'pending'", False),
}

# A reversal with a product undoes a purchase, one without a top-up.
IS_CREDIT = "(kind = 'top_up' OR (kind = 'reversal' AND product_id IS NOT NULL))"
NEW_LEDGER_ENTRY = f"""
CREATE VIEW ledger_entry AS
SELECT user_id, id AS transaction_id, seq, 'user' AS account,
       CASE WHEN {IS_CREDIT} THEN amount ELSE -amount END AS amount, created_at
FROM "transaction" WHERE status = 'completed'
UNION ALL
SELECT user_id, id, seq,
       CASE WHEN kind = 'top_up' THEN 'mint'
            WHEN kind = 'purchase' THEN 'sales'
            WHEN kind = 'debit' THEN 'debits'
            WHEN kind = 'grant' THEN 'grants'
            WHEN kind = 'revocation' THEN 'revocations'
            WHEN kind = 'reversal' AND product_id IS NOT NULL THEN 'sales'
            WHEN kind = 'reversal' THEN 'mint'
            ELSE 'consumption' END,
       CASE WHEN {IS_CREDIT} THEN -amount ELSE amount END, created_at
FROM "transaction" WHERE status = 'completed'
"""
OLD_LEDGER_ENTRY = """
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

OLD_SETTLED = ("status", "balance_after", "failure_code", "completed_at")
NEW_SETTLED = (*OLD_SETTLED, "debt_after", "settled_seq", "settled_hash")
OLD_COLUMNS = (
    *("user_id", "id", "seq", "kind", "status", "product_id", "quantity", "amount"),
    *("balance_after", "quantity_after", "failure_code", "actor", "idempotency_key"),
    *("request_hash", "external_reference", "created_at", "completed_at"),
)


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    if is_postgres:
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "verification",
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("broken_invariants", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("broken_invariants >= 0", name="ck_verification_broken_invariants"),
        sa.PrimaryKeyConstraint("started_at", name="pk_verification"),
    )
    _add_columns_of_user(is_postgres)
    op.execute("DROP VIEW ledger_entry")
    _drop_guard(is_postgres)
    for name, type_ in NEW_COLUMNS.items():
        op.add_column("transaction", sa.Column(name, type_, nullable=True))
    op.execute(
        "UPDATE \"transaction\" SET debt_after = 0, settled_seq = seq WHERE status <> 'pending'"
    )
    _chain_all()
    with op.batch_alter_table("transaction") as batch:
        batch.alter_column("hash", existing_type=sa.LargeBinary(length=32), nullable=False)
        for name in OLD_CHECKS:
            batch.drop_constraint(name, type_="check")
        for name, condition in NEW_CHECKS.items():
            batch.create_check_constraint(name, sa.text(condition))
        batch.create_foreign_key(
            "fk_transaction_target_id", "transaction", ["user_id", "target_id"], ["user_id", "id"]
        )
    for name, (columns, where, is_unique) in NEW_INDEXES.items():
        condition = sa.text(where)
        op.create_index(
            name,
            "transaction",
            columns,
            unique=is_unique,
            postgresql_where=condition,
            sqlite_where=condition,
        )
    op.execute(NEW_LEDGER_ENTRY)
    _guard(is_postgres, (*OLD_COLUMNS, *NEW_COLUMNS), NEW_SETTLED)


def downgrade() -> None:
    """Refused once there is what the old schema cannot tell: nothing is ever lost."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    if is_postgres:
        op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP VIEW ledger_entry")
    _drop_guard(is_postgres)
    _refuse_to_lose("top-ups that were settled later", "transaction", "settled_hash IS NOT NULL")
    for name in NEW_INDEXES:
        op.drop_index(name, "transaction")
    with op.batch_alter_table("transaction") as batch:
        batch.drop_constraint("fk_transaction_target_id", type_="foreignkey")
        for name in NEW_CHECKS:
            batch.drop_constraint(name, type_="check")
        for name, condition in OLD_CHECKS.items():
            batch.create_check_constraint(name, sa.text(condition))
        for name in NEW_COLUMNS:
            batch.drop_column(name)
    _drop_columns_of_user(is_postgres)
    op.drop_table("verification")
    op.execute(OLD_LEDGER_ENTRY)
    _guard(is_postgres, OLD_COLUMNS, OLD_SETTLED)


def _add_columns_of_user(is_postgres: bool) -> None:
    """In place: on SQLite a copy of the table would break the keys that point at it."""
    zeros = f"'\\x{NO_HISTORY}'::bytea" if is_postgres else f"X'{NO_HISTORY}'"
    moment, binary = ("timestamptz", "bytea") if is_postgres else ("DATETIME", "BLOB")
    for column in (
        f"debt BIGINT NOT NULL DEFAULT 0 CONSTRAINT ck_user_debt "
        f"CHECK (debt BETWEEN 0 AND {BALANCE_LIMIT} AND (debt = 0 OR balance = 0))",
        f"chain_hash {binary} NOT NULL DEFAULT {zeros}",
        f"deleted_at {moment}",
    ):
        op.execute(f'ALTER TABLE "user" ADD COLUMN {column}')


def _drop_columns_of_user(is_postgres: bool) -> None:
    if is_postgres:
        op.execute('ALTER TABLE "user" DROP CONSTRAINT ck_user_debt')
    _refuse_to_lose("deleted users", "user", "deleted_at IS NOT NULL")
    for name in ("deleted_at", "chain_hash", "debt"):
        op.execute(f'ALTER TABLE "user" DROP COLUMN {name}')


def _refuse_to_lose(what: str, table: str, condition: str) -> None:
    """Of a table that this transaction has locked by now."""
    if op.get_bind().scalar(sa.text(f'SELECT 1 FROM "{table}" WHERE {condition} LIMIT 1')):
        raise CommandError(f"no way down: there are {what}, which the old schema cannot tell")


def _chain_all() -> None:
    """The links of all rows that there are; none has been settled later."""
    connection = op.get_bind()
    types = {"id": sa.Uuid(), "created_at": sa.DateTime(), "completed_at": sa.DateTime()}
    columns = [sa.column(name, types.get(name)) for name in OLD_COLUMNS]
    columns += [sa.column(name, sa.BigInteger()) for name in ("debt_after", "settled_seq")]
    journal = sa.table("transaction", *columns, sa.column("hash", sa.LargeBinary()))
    user = sa.table("user", sa.column("id"), sa.column("chain_hash", sa.LargeBinary()))
    links = sa.update(journal).where(
        journal.c.user_id == sa.bindparam("of_user"), journal.c.seq == sa.bindparam("of_seq")
    )
    links = links.values(hash=sa.bindparam("link"))
    heads = sa.update(user).where(user.c.id == sa.bindparam("of_user"))
    heads = heads.values(chain_hash=sa.bindparam("link"))
    place, newest = (0, 0), b""
    while True:
        rows = connection.execute(
            sa.select(*columns)
            .where(sa.tuple_(journal.c.user_id, journal.c.seq) > sa.tuple_(*place))
            .order_by(journal.c.user_id, journal.c.seq)
            .limit(ROWS_AT_ONCE)
        ).all()
        if not rows:
            return
        written, ends = [], {}
        for row in rows:
            newest = newest if row.user_id == place[0] else bytes.fromhex(NO_HISTORY)
            newest = _link(newest, row)
            place = (row.user_id, row.seq)
            written.append({"of_user": row.user_id, "of_seq": row.seq, "link": newest})
            ends[row.user_id] = newest
        connection.execute(links, written)
        connection.execute(heads, [{"of_user": id_, "link": end} for id_, end in ends.items()])


def _link(previous: bytes, row: sa.Row) -> bytes:
    """As economy/services/chain.py had it then."""
    content = [_plain(row._mapping[name]) for name in OLD_COLUMNS]
    content[OLD_COLUMNS.index("id")] = str(row.id)
    content[OLD_COLUMNS.index("request_hash")] = row.request_hash.hex()
    content += [row.debt_after, None, None, row.settled_seq]
    return hashlib.sha256(previous + orjson.dumps(content)).digest()


def _plain(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)  # SQLite forgets the zone
    return value


def _drop_guard(is_postgres: bool) -> None:
    if is_postgres:
        op.execute("DROP TRIGGER transaction_append_only ON transaction")
    else:
        op.execute("DROP TRIGGER transaction_append_only")
        op.execute("DROP TRIGGER transaction_no_delete")


def _guard(is_postgres: bool, columns: tuple[str, ...], settled: tuple[str, ...]) -> None:
    """The journal is append-only, but for one step: a pending row is completed or fails, once."""
    if is_postgres:
        names = ", ".join(f"'{name}'" for name in settled)
        op.execute(f"""
CREATE OR REPLACE FUNCTION transaction_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    settled CONSTANT text[] := ARRAY[{names}];
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'pending' AND NEW.status IN ('completed', 'failed')
        AND to_jsonb(NEW) - settled = to_jsonb(OLD) - settled
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'restrict_violation';
END $$""")
        op.execute("""
CREATE TRIGGER transaction_append_only BEFORE UPDATE OR DELETE ON transaction
FOR EACH ROW EXECUTE FUNCTION transaction_is_append_only()""")
        return
    unchanged = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in columns if name not in settled)
    op.execute(f"""
CREATE TRIGGER transaction_append_only BEFORE UPDATE ON "transaction"
WHEN NOT (OLD.status = 'pending' AND NEW.status IN ('completed', 'failed') AND {unchanged})
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""")
    op.execute("""
CREATE TRIGGER transaction_no_delete BEFORE DELETE ON "transaction"
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""")
