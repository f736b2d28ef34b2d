"""What breaks the invariants of reversals and late settlements, and what is then found."""

from tests.breakages import Breakage, change
from tests.busy_economy import ANNA, CLARA

OF_PURCHASE, OF_TOP_UP, LATE = 8, 12, 5  # of Clara's; their targets are 6, 1 and 2
BALANCES = frozenset({"balance_is_sum_of_transactions", "balance_after_is_running_balance"})


def aimed_at(seq: int, target_seq: int, target_user: int = CLARA) -> str:
    return change(
        "transaction",
        'target_id = (SELECT target.id FROM "transaction" AS target '
        f"WHERE target.user_id = {target_user} AND target.seq = {target_seq})",
        user_id=CLARA,
        seq=seq,
    )


TARGET_BREAKAGES = [
    Breakage(
        "reversal_fits_target",
        [change("transaction", "shortfall = 99", user_id=CLARA, seq=OF_PURCHASE)],
        [{"seq": OF_PURCHASE, "amount": 100, "shortfall": 99, "target_amount": 200}],
    ),
    Breakage(
        "reversal_fits_target",
        [change("transaction", "amount = 99, shortfall = 101", user_id=CLARA, seq=OF_PURCHASE)],
        [{"seq": OF_PURCHASE, "amount": 99, "quantity": 1, "target_quantity": 2}],
        BALANCES,
    ),
    Breakage(
        "reversal_fits_target",
        [change("transaction", "quantity = 3", user_id=CLARA, seq=OF_PURCHASE)],
        [{"seq": OF_PURCHASE, "quantity": 3, "target_quantity": 2}],
        frozenset({"quantity_is_sum_of_movements", "quantity_after_is_running_quantity"}),
    ),
    Breakage(
        "reversal_fits_target",
        [change("transaction", "shortfall = 401", user_id=CLARA, seq=OF_TOP_UP)],
        [{"seq": OF_TOP_UP, "shortfall": 401, "target_amount": 400}],
    ),
    Breakage(
        "reversal_fits_target",
        [change("transaction", "amount = 399", user_id=CLARA, seq=OF_TOP_UP)],
        [{"seq": OF_TOP_UP, "amount": 399, "target_amount": 400}],
        BALANCES,
    ),
    Breakage(
        "reversal_fits_target",
        [change("transaction", "shortfall = NULL", user_id=CLARA, seq=OF_TOP_UP)],
        [{"seq": OF_TOP_UP, "shortfall": None}],
        frozenset({"kind_and_columns_agree"}),
    ),
    *(
        Breakage(  # what was not completed, what is of no such kind
            "reversal_fits_target",
            [aimed_at(OF_TOP_UP, target)],
            [{"seq": OF_TOP_UP, "target_kind": kind, "target_status": status}],
        )
        for target, kind, status in (
            (2, "top_up", "failed"),
            (11, "debit", "completed"),
            (14, "top_up", "pending"),
        )
    ),
    Breakage(  # of another user
        "reversal_fits_target",
        [aimed_at(OF_TOP_UP, 1, target_user=ANNA)],
        [{"seq": OF_TOP_UP, "target_kind": None, "target_amount": None}],
    ),
    Breakage(
        "reversed_at_most_once",
        [aimed_at(OF_TOP_UP, 6)],
        [{"user_id": CLARA, "reversals": 2, "first_seq": OF_PURCHASE}],
        frozenset({"reversal_fits_target"}),
    ),
    Breakage(
        "late_settlement_fits_target",
        [aimed_at(LATE, 14)],
        [{"seq": LATE, "target_kind": "top_up", "target_status": "pending"}],
    ),
    Breakage(
        "late_settlement_fits_target",
        [aimed_at(LATE, 6)],
        [{"seq": LATE, "target_kind": "purchase", "target_status": "completed"}],
    ),
    Breakage(
        "late_settlement_fits_target",
        [change("transaction", "amount = 51", user_id=CLARA, seq=LATE)],
        [{"seq": LATE, "target_kind": "top_up", "target_status": "failed"}],
    ),
    Breakage(  # it moves nothing, ever
        "late_settlement_fits_target",
        [
            change(
                "transaction", "status = 'completed', failure_code = NULL", user_id=CLARA, seq=LATE
            )
        ],
        [{"seq": LATE, "status": "completed"}],
    ),
]
