"""What must be true of the journal: its rows, their order, keys and references, and its guards."""

from economy.models.columns import one_of
from economy.models.inventory import HOLDING_LIMIT
from economy.models.transaction import MAX_QUANTITY, TransactionKind, TransactionStatus
from economy.models.user import BALANCE_LIMIT
from economy.repositories.verification import COINS_MOVED, UNITS_MOVED, Invariant

BALANCE_AFTER_IS_RUNNING_BALANCE = Invariant(
    name="balance_after_is_running_balance",
    meaning="In the order of settled_seq, balance_after less debt_after is the one before plus "
    "what this row moves; a debt stands only beside no balance.",
    table="transaction",
    broken=f"""
        SELECT user_id, seq, settled_seq, transaction_id, kind, status, amount, worth_before,
               balance_after, debt_after
        FROM (
            SELECT user_id, seq, settled_seq, id AS transaction_id, kind, status, amount,
                   balance_after, debt_after,
                   lag(CAST(balance_after AS numeric) - debt_after, 1, 0)
                       OVER (PARTITION BY user_id ORDER BY settled_seq) AS worth_before,
                   {COINS_MOVED} AS moved
            FROM "transaction" WHERE status <> 'pending'
        ) AS step
        WHERE balance_after NOT BETWEEN 0 AND {BALANCE_LIMIT}
            OR debt_after NOT BETWEEN 0 AND {BALANCE_LIMIT}
            OR (debt_after > 0 AND balance_after > 0)
            OR CAST(balance_after AS numeric) - debt_after <> worth_before + moved
        ORDER BY user_id, settled_seq""",
    is_by_user=True,
)

QUANTITY_AFTER_IS_RUNNING_QUANTITY = Invariant(
    name="quantity_after_is_running_quantity",
    meaning="In the order of seq, quantity_after is the product's one before plus what is moved.",
    table="transaction",
    broken=f"""
        SELECT user_id, product_id, seq, transaction_id, kind, status, quantity, quantity_before,
               quantity_after
        FROM (
            SELECT user_id, product_id, seq, id AS transaction_id, kind, status, quantity,
                   quantity_after,
                   lag(quantity_after, 1, 0) OVER (PARTITION BY user_id, product_id ORDER BY seq)
                       AS quantity_before,
                   {UNITS_MOVED} AS moved
            FROM "transaction" WHERE status <> 'pending' AND product_id IS NOT NULL
        ) AS step
        WHERE quantity_after NOT BETWEEN 0 AND {HOLDING_LIMIT}
            OR quantity_after <> CAST(quantity_before AS numeric) + moved
        ORDER BY user_id, product_id, seq""",
    is_by_user=True,
)

SEQ_WITHOUT_GAPS = Invariant(
    name="seq_without_gaps",
    meaning="A user's history is numbered 1 to last_seq, none missing and none twice: that a "
    "transaction was written, and that it was settled later.",
    table="user",
    broken="""
        SELECT user_id, max(last_seq) AS last_seq, count(number) AS events,
               count(DISTINCT number) AS numbers, min(number) AS first_seq,
               max(number) AS newest_seq
        FROM (
            SELECT id AS user_id, last_seq, NULL AS number FROM "user"
            UNION ALL
            SELECT user_id, NULL, seq FROM "transaction"
            UNION ALL
            SELECT user_id, NULL, settled_seq FROM "transaction" WHERE settled_hash IS NOT NULL
        ) AS event
        GROUP BY user_id
        HAVING count(number) <> max(last_seq) OR count(DISTINCT number) <> max(last_seq)
            OR min(number) <> 1 OR max(number) <> max(last_seq)
        ORDER BY user_id""",
    is_by_user=True,
)

ONE_OUTCOME_PER_KEY = Invariant(
    name="one_outcome_per_key",
    meaning="A user has one outcome per kind of operation and idempotency key.",
    table="transaction",
    broken="""
        SELECT user_id, kind, idempotency_key, count(*) AS outcomes,
               min(seq) AS first_seq, max(seq) AS newest_seq
        FROM "transaction" WHERE idempotency_key IS NOT NULL
        GROUP BY user_id, kind, idempotency_key
        HAVING count(*) > 1
        ORDER BY user_id, kind, idempotency_key""",
    is_by_user=True,
)

ONE_TRANSACTION_PER_EXTERNAL_REFERENCE = Invariant(
    name="one_transaction_per_external_reference",
    meaning="An external reference stands on at most one pending or completed transaction.",
    table="transaction",
    broken="""
        SELECT external_reference, count(*) AS transactions,
               min(user_id) AS least_user_id, max(user_id) AS greatest_user_id
        FROM "transaction"
        WHERE external_reference IS NOT NULL AND status IN ('pending', 'completed')
        GROUP BY external_reference
        HAVING count(*) > 1
        ORDER BY external_reference""",
)

EXTERNAL_REFERENCES_ARE_CLAIMED = Invariant(
    name="external_references_are_claimed",
    meaning="Pending and completed transactions have claimed their external reference for their "
    "user, and nothing else is claimed.",
    table="transaction",
    broken="""
        SELECT external_reference, user_id, sum(is_transaction) AS transactions,
               sum(is_claim) AS claims
        FROM (
            SELECT external_reference, user_id, 1 AS is_transaction, 0 AS is_claim
            FROM "transaction"
            WHERE external_reference IS NOT NULL AND status IN ('pending', 'completed')
            UNION ALL
            SELECT value, user_id, 0, 1 FROM claim WHERE kind = 'external_reference'
        ) AS heap
        GROUP BY external_reference, user_id
        HAVING sum(is_transaction) = 0 OR sum(is_claim) <> 1
        ORDER BY external_reference, user_id""",
)

STATUS_AND_COLUMNS_AGREE = Invariant(
    name="status_and_columns_agree",
    meaning="What is settled has balance_after, debt_after, settled_seq and completed_at; what "
    "failed, and nothing else, a failure_code; only what is settled later has a settled_hash.",
    table="transaction",
    broken=f"""
        SELECT user_id, seq, id AS transaction_id, kind, status, balance_after, failure_code,
               completed_at, debt_after, settled_seq, settled_hash IS NOT NULL AS is_settled_later
        FROM "transaction"
        WHERE NOT ({one_of("status", TransactionStatus)})
            OR (status = 'pending') <> (balance_after IS NULL)
            OR (status = 'pending') <> (completed_at IS NULL)
            OR (status = 'pending') <> (debt_after IS NULL)
            OR (status = 'pending') <> (settled_seq IS NULL)
            OR (settled_seq IS NULL AND settled_hash IS NOT NULL)
            OR settled_seq < seq
            OR (settled_seq > seq) <> (settled_hash IS NOT NULL)
            OR (status = 'failed') <> (failure_code IS NOT NULL)
        ORDER BY user_id, seq""",
)

KIND_AND_COLUMNS_AGREE = Invariant(
    name="kind_and_columns_agree",
    meaning="What moves items, and nothing else, has a product, quantity and quantity_after; only "
    "top-ups are ever pending or have an external reference; only reversals and late settlements "
    "have a target; completed reversals, and nothing else, a shortfall.",
    table="transaction",
    broken=f"""
        SELECT user_id, seq, id AS transaction_id, kind, status, product_id, quantity,
               quantity_after, external_reference, target_id, shortfall
        FROM "transaction"
        WHERE NOT ({one_of("kind", TransactionKind)})
            OR (kind IN ('top_up', 'debit', 'top_up_settlement') AND product_id IS NOT NULL)
            OR (kind IN ('purchase', 'use', 'grant', 'revocation') AND product_id IS NULL)
            OR (product_id IS NULL) <> (quantity IS NULL)
            OR (product_id IS NULL) <> (quantity_after IS NULL)
            OR (kind <> 'top_up' AND (external_reference IS NOT NULL OR status = 'pending'))
            OR (kind IN ('reversal', 'top_up_settlement')) <> (target_id IS NOT NULL)
            OR (kind = 'reversal' AND status = 'completed') <> (shortfall IS NOT NULL)
        ORDER BY user_id, seq""",
)

AMOUNT_FITS_KIND = Invariant(
    name="amount_fits_kind",
    meaning=f"An amount is 0 to {BALANCE_LIMIT}: 0 of what moves items alone, above 0 of top-ups "
    f"and debits; a quantity is 1 to {MAX_QUANTITY}, or 0 of a reversal.",
    table="transaction",
    broken=f"""
        SELECT user_id, seq, id AS transaction_id, kind, status, amount, quantity
        FROM "transaction"
        WHERE amount NOT BETWEEN 0 AND {BALANCE_LIMIT}
            OR (kind IN ('use', 'grant', 'revocation') AND amount <> 0)
            OR (kind IN ('top_up', 'debit') AND amount = 0)
            OR quantity NOT BETWEEN 0 AND {MAX_QUANTITY}
            OR (quantity = 0 AND kind <> 'reversal')
        ORDER BY user_id, seq""",
)

TRANSACTION_HAS_USER_AND_PRODUCT = Invariant(
    name="transaction_has_user_and_product",
    meaning="The user and the product of a transaction exist.",
    table="transaction",
    broken="""
        SELECT entry.user_id, seq, entry.id AS transaction_id, kind, status, product_id,
               CASE WHEN "user".id IS NULL THEN 'user' ELSE 'product' END AS missing
        FROM "transaction" AS entry
        LEFT JOIN "user" ON "user".id = entry.user_id
        LEFT JOIN product ON product.id = product_id
        WHERE "user".id IS NULL OR (product_id IS NOT NULL AND product.id IS NULL)
        ORDER BY entry.user_id, seq""",
    is_by_user=True,
)

LEDGER_ENTRIES_BALANCE = Invariant(
    name="ledger_entries_balance",
    meaning="A completed transaction has two ledger entries that add up to 0; others have none.",
    table="transaction",
    broken="""
        SELECT user_id, transaction_id, sum(is_entry) AS entries, sum(amount) AS sum_of_entries
        FROM (
            SELECT user_id, transaction_id, amount, 1 AS is_entry, 0 AS is_completed
            FROM ledger_entry
            UNION ALL
            SELECT user_id, id, 0, 0, 1 FROM "transaction" WHERE status = 'completed'
        ) AS heap
        GROUP BY user_id, transaction_id
        HAVING sum(amount) <> 0 OR sum(is_entry) <> 2 * sum(is_completed)
        ORDER BY user_id, transaction_id""",
    is_by_user=True,
)

_IS_GUARDED = "A trigger refuses each change and removal of a journal row."

# tgtype: 1 for each row, 2 before, 8 delete, 16 update, 32 truncate
_POSTGRES_GUARDED = Invariant(
    name="journal_is_guarded",
    meaning=_IS_GUARDED,
    table="transaction",
    broken="""
        SELECT needed.name AS trigger_name,
               CASE WHEN tgname IS NULL THEN 'missing'
                    WHEN tgenabled NOT IN ('O', 'A') THEN 'disabled'
                    ELSE 'changed' END AS problem
        FROM (VALUES ('transaction_append_only', 1 + 2 + 8 + 16),
                     ('transaction_no_truncate', 2 + 32)) AS needed (name, type)
        LEFT JOIN pg_trigger ON tgname = needed.name AND tgrelid = CAST('transaction' AS regclass)
        LEFT JOIN pg_proc ON pg_proc.oid = tgfoid AND prosrc LIKE '%the journal is append-only%'
        WHERE tgname IS NULL OR tgenabled NOT IN ('O', 'A') OR tgtype <> needed.type
            OR tgqual IS NOT NULL OR prosrc IS NULL
        ORDER BY needed.name""",
)
_SQLITE_GUARDED = Invariant(
    name="journal_is_guarded",
    meaning=_IS_GUARDED,
    table="transaction",
    broken="""
        SELECT needed.name AS trigger_name,
               CASE WHEN sql IS NULL THEN 'missing' ELSE 'changed' END AS problem
        FROM (SELECT 'transaction_append_only' AS name, '% BEFORE UPDATE ON %' AS event
              UNION ALL SELECT 'transaction_no_delete', '% BEFORE DELETE ON %') AS needed
        LEFT JOIN sqlite_master AS found ON found.name = needed.name AND found.type = 'trigger'
            AND found.tbl_name = 'transaction'
        WHERE sql IS NULL OR sql NOT LIKE event OR sql NOT LIKE '%the journal is append-only%'
        ORDER BY needed.name""",
)


def journal(dialect: str) -> tuple[Invariant, ...]:
    """The triggers are the one thing that each database lists in its own way."""
    return (
        BALANCE_AFTER_IS_RUNNING_BALANCE,
        QUANTITY_AFTER_IS_RUNNING_QUANTITY,
        SEQ_WITHOUT_GAPS,
        ONE_OUTCOME_PER_KEY,
        ONE_TRANSACTION_PER_EXTERNAL_REFERENCE,
        EXTERNAL_REFERENCES_ARE_CLAIMED,
        STATUS_AND_COLUMNS_AGREE,
        KIND_AND_COLUMNS_AGREE,
        AMOUNT_FITS_KIND,
        TRANSACTION_HAS_USER_AND_PRODUCT,
        LEDGER_ENTRIES_BALANCE,
        _SQLITE_GUARDED if dialect == "sqlite" else _POSTGRES_GUARDED,
    )
