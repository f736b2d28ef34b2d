"""What breaks the invariants of the journal, and what is then found."""

from tests.breakages import Breakage, change
from tests.busy_economy import ANNA, BOOST, BORIS, CLARA, DORA, PREMIUM

JOURNAL_BREAKAGES = [
    Breakage(  # the newest
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 6'],
        [{"user_id": ANNA, "last_seq": 6, "events": 5, "newest_seq": 5}],
    ),
    Breakage(  # one in between
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 3'],
        [{"user_id": ANNA, "last_seq": 6, "events": 5, "newest_seq": 6}],
        frozenset({"quantity_is_sum_of_movements", "quantity_after_is_running_quantity"}),
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 6, settled_seq = 6", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "last_seq": 6, "events": 6, "numbers": 5, "newest_seq": 6}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 7, settled_seq = 7", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "last_seq": 6, "events": 6, "numbers": 6, "newest_seq": 7}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 0, settled_seq = 0", user_id=ANNA, seq=1)],
        [{"user_id": ANNA, "last_seq": 6, "events": 6, "first_seq": 0, "newest_seq": 6}],
    ),
    Breakage(  # counted on, but not booked
        "seq_without_gaps",
        [change("user", "last_seq = 7", id=ANNA)],
        [{"user_id": ANNA, "last_seq": 7, "events": 6, "newest_seq": 6}],
    ),
    Breakage(  # the end of one that was pending
        "seq_without_gaps",
        [change("transaction", "settled_seq = 15", user_id=CLARA, seq=2)],
        [{"user_id": CLARA, "last_seq": 14, "events": 14, "numbers": 14, "newest_seq": 15}],
        frozenset({"balance_after_is_running_balance"}),
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "settled_seq = 3", user_id=CLARA, seq=2)],
        [{"user_id": CLARA, "last_seq": 14, "events": 14, "numbers": 13, "newest_seq": 14}],
    ),
    Breakage(
        "one_outcome_per_key",
        [change("transaction", "idempotency_key = 'b-1'", user_id=BORIS, seq=2)],
        [{"user_id": BORIS, "kind": "top_up", "idempotency_key": "b-1", "outcomes": 2}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "failure_code = 'ALREADY_OWNED'", user_id=ANNA, seq=3)],
        [{"user_id": ANNA, "seq": 3, "status": "completed", "failure_code": "ALREADY_OWNED"}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "failure_code = NULL", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "seq": 5, "status": "failed", "failure_code": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "completed_at = NULL", user_id=ANNA, seq=2)],
        [{"user_id": ANNA, "seq": 2, "status": "completed", "completed_at": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "balance_after = NULL", user_id=ANNA, seq=2)],
        [{"user_id": ANNA, "seq": 2, "status": "completed", "balance_after": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "status = 'odd'", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "status": "odd"}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "debt_after = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "debt_after": None}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "settled_seq = NULL", user_id=BORIS, seq=5)],
        [{"user_id": BORIS, "seq": 5, "settled_seq": None, "is_settled_later": False}],
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "settled_seq = 5", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "settled_seq": 5}],
    ),
    Breakage(  # settled at once, yet with the link of a settlement
        "status_and_columns_agree",
        [change("transaction", "settled_hash = hash", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "settled_seq": 6, "is_settled_later": True}],
        frozenset({"seq_without_gaps"}),
    ),
    Breakage(
        "status_and_columns_agree",
        [change("transaction", "settled_hash = NULL", user_id=CLARA, seq=2)],
        [{"user_id": CLARA, "seq": 2, "settled_seq": 4, "is_settled_later": False}],
        frozenset({"seq_without_gaps"}),
    ),
    *(
        Breakage(  # pending, yet settled in part
            "status_and_columns_agree",
            [change("transaction", f"{column} = 14", user_id=CLARA, seq=14)],
            [{"user_id": CLARA, "seq": 14, "status": "pending", column: 14}],
        )
        for column in ("balance_after", "debt_after", "settled_seq")
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "product_id = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "product_id": None, "quantity": 3}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "quantity = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "product_id": BOOST, "quantity": None}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "quantity_after = NULL", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "product_id": BOOST, "quantity_after": None}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "external_reference = 'order-2'", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "external_reference": "order-2"}],
    ),
    *(
        Breakage(  # what moves coins alone has no product
            "kind_and_columns_agree",
            [change("transaction", f"kind = '{kind}'", user_id=ANNA, seq=6)],
            [{"user_id": ANNA, "seq": 6, "kind": kind, "product_id": BOOST}],
        )
        for kind in ("debit", "top_up", "odd")
    ),
    *(
        Breakage(  # what moves items has one
            "kind_and_columns_agree",
            [change("transaction", f"kind = '{kind}', amount = 0", user_id=BORIS, seq=2)],
            [{"user_id": BORIS, "seq": 2, "kind": kind, "product_id": None}],
        )
        for kind in ("use", "grant", "revocation")
    ),
    Breakage(  # only top-ups wait
        "kind_and_columns_agree",
        [change("transaction", "kind = 'debit'", user_id=CLARA, seq=14)],
        [{"seq": 14, "kind": "debit", "status": "pending", "external_reference": "pay-3"}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "target_id = id", user_id=DORA, seq=1)],
        [{"user_id": DORA, "seq": 1, "kind": "top_up"}],
    ),
    Breakage(
        "kind_and_columns_agree",
        [change("transaction", "shortfall = 0", user_id=DORA, seq=1)],
        [{"user_id": DORA, "seq": 1, "kind": "top_up", "shortfall": 0}],
    ),
    *(
        Breakage(
            "amount_fits_kind",
            [change("transaction", f"amount = {amount}", user_id=CLARA, seq=seq)],
            [{"user_id": CLARA, "seq": seq, "kind": kind, "amount": amount}],
            others,
        )
        for seq, kind, amount, others in (
            (9, "grant", 5, frozenset[str]()),
            (10, "revocation", 5, frozenset[str]()),
            (14, "top_up", 0, frozenset[str]()),  # pending
            (
                11,
                "debit",
                0,
                frozenset({"balance_is_sum_of_transactions", "balance_after_is_running_balance"}),
            ),
        )
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "quantity = 0", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "quantity": 0}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = 5", user_id=ANNA, seq=3)],
        [{"user_id": ANNA, "seq": 3, "kind": "use", "amount": 5}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = 0", user_id=BORIS, seq=2)],
        [{"user_id": BORIS, "seq": 2, "kind": "top_up", "amount": 0}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "amount = -300", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "kind": "purchase", "amount": -300}],
    ),
    Breakage(
        "amount_fits_kind",
        [change("transaction", "quantity = 1001", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "seq": 6, "amount": 300, "quantity": 1001}],
    ),
    Breakage(  # so much that adding it up overflows
        "amount_fits_kind",
        [f"UPDATE \"transaction\" SET amount = {2**63 - 1} WHERE kind = 'top_up'"],
        [
            {"user_id": user_id, "seq": seq, "amount": 2**63 - 1}
            for user_id, seqs in ((ANNA, (1,)), (BORIS, (1, 2)), (CLARA, (1, 2, 13, 14)))
            for seq in seqs
        ]
        + [{"user_id": DORA, "seq": 1}],
        frozenset(
            {
                "balance_is_sum_of_transactions",
                "balance_after_is_running_balance",
                "reversal_fits_target",
                "late_settlement_fits_target",
            }
        ),
    ),
    Breakage(
        "transaction_has_user_and_product",
        [f"DELETE FROM product WHERE id = {PREMIUM}"],
        [
            {"user_id": user_id, "seq": seq, "product_id": PREMIUM}
            for user_id, seq in ((ANNA, 4), (ANNA, 5), (CLARA, 9), (CLARA, 10))
        ],
        frozenset({"inventory_has_user_and_product"}),
    ),
    Breakage(  # one leg only
        "ledger_entries_balance",
        [
            "DROP VIEW ledger_entry",
            """CREATE VIEW ledger_entry AS SELECT user_id, id AS transaction_id, amount
            FROM "transaction" WHERE status = 'completed' AND (amount > 0 OR user_id > 2)
            UNION ALL SELECT user_id, id, -amount
            FROM "transaction" WHERE status = 'completed' AND user_id > 2""",
        ],
        [
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 1000},
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 300},
            {"user_id": ANNA, "entries": 0, "sum_of_entries": 0},
            {"user_id": ANNA, "entries": 1, "sum_of_entries": 500},
            {"user_id": BORIS, "entries": 1, "sum_of_entries": 100},
            {"user_id": BORIS, "entries": 1, "sum_of_entries": 100},
            {"user_id": BORIS, "entries": 0, "sum_of_entries": 0},
        ],
    ),
    Breakage(  # two legs of a decline
        "ledger_entries_balance",
        [
            "DROP VIEW ledger_entry",
            """CREATE VIEW ledger_entry AS SELECT user_id, id AS transaction_id, amount
            FROM "transaction" WHERE status = 'completed' OR (user_id = 2 AND seq = 2)
            UNION ALL SELECT user_id, id, -amount
            FROM "transaction" WHERE status = 'completed' OR (user_id = 2 AND seq = 2)""",
        ],
        [{"user_id": BORIS, "entries": 2, "sum_of_entries": 0}],
    ),
]
