"""What must be true of transactions that are about another one: reversals, late settlements."""

from economy.repositories.verification import Invariant

REVERSAL_FITS_TARGET = Invariant(
    name="reversal_fits_target",
    meaning="A completed reversal undoes a completed purchase or top-up of the same user, as much "
    "of it as it says.",
    table="transaction",
    broken="""
        SELECT reversal.user_id, reversal.seq, reversal.id AS transaction_id, reversal.target_id,
               target.kind AS target_kind, target.status AS target_status,
               reversal.product_id, target.product_id AS target_product_id,
               reversal.quantity, target.quantity AS target_quantity,
               reversal.amount, reversal.shortfall, target.amount AS target_amount
        FROM "transaction" AS reversal
        LEFT JOIN "transaction" AS target
            ON target.user_id = reversal.user_id AND target.id = reversal.target_id
        WHERE reversal.kind = 'reversal' AND reversal.status = 'completed' AND NOT coalesce(
            target.status = 'completed' AND (
                (target.kind = 'top_up' AND reversal.product_id IS NULL
                    AND reversal.amount = target.amount
                    AND reversal.shortfall BETWEEN 0 AND target.amount)
                OR (target.kind = 'purchase' AND reversal.product_id = target.product_id
                    AND reversal.quantity <= target.quantity
                    AND CAST(reversal.amount AS numeric) * target.quantity
                        = CAST(target.amount AS numeric) * reversal.quantity
                    AND reversal.amount + reversal.shortfall = target.amount)
            ), FALSE)
        ORDER BY reversal.user_id, reversal.seq""",
    is_by_user=True,
)

REVERSED_AT_MOST_ONCE = Invariant(
    name="reversed_at_most_once",
    meaning="A transaction has at most one completed reversal.",
    table="transaction",
    broken="""
        SELECT user_id, target_id, count(*) AS reversals, min(seq) AS first_seq
        FROM "transaction" WHERE kind = 'reversal' AND status = 'completed'
        GROUP BY user_id, target_id
        HAVING count(*) > 1
        ORDER BY user_id, target_id""",
)

LATE_SETTLEMENT_FITS_TARGET = Invariant(
    name="late_settlement_fits_target",
    meaning="A settlement that is a row of its own came too late for a top-up of the same user.",
    table="transaction",
    broken="""
        SELECT late.user_id, late.seq, late.id AS transaction_id, late.status, late.target_id,
               target.kind AS target_kind, target.status AS target_status
        FROM "transaction" AS late
        LEFT JOIN "transaction" AS target
            ON target.user_id = late.user_id AND target.id = late.target_id
        WHERE late.kind = 'top_up_settlement' AND NOT coalesce(
            late.status = 'failed' AND target.kind = 'top_up' AND target.status <> 'pending'
            AND target.amount = late.amount, FALSE)
        ORDER BY late.user_id, late.seq""",
    is_by_user=True,
)

TARGETS = (REVERSAL_FITS_TARGET, REVERSED_AT_MOST_ONCE, LATE_SETTLEMENT_FITS_TARGET)
