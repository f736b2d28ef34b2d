"""What breaks the invariants of the journal, and what is then found."""

from tests.breakages import ANNA, BOOST, BORIS, PREMIUM, Breakage, change

JOURNAL_BREAKAGES = [
    Breakage(  # the newest
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 6'],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 5, "newest_seq": 5}],
    ),
    Breakage(  # one in between
        "seq_without_gaps",
        [f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 3'],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 5, "newest_seq": 6}],
        frozenset({"quantity_is_sum_of_movements", "quantity_after_is_running_quantity"}),
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 6", user_id=ANNA, seq=5)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "numbers": 5, "newest_seq": 6}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 7", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "numbers": 6, "newest_seq": 7}],
    ),
    Breakage(
        "seq_without_gaps",
        [change("transaction", "seq = 0", user_id=ANNA, seq=1)],
        [{"user_id": ANNA, "last_seq": 6, "transactions": 6, "first_seq": 0, "newest_seq": 6}],
    ),
    Breakage(  # counted on, but not booked
        "seq_without_gaps",
        [change("user", "last_seq = 7", id=ANNA)],
        [{"user_id": ANNA, "last_seq": 7, "transactions": 6, "newest_seq": 6}],
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
            for user_id, seq in ((ANNA, 1), (BORIS, 1), (BORIS, 2))
        ],
        frozenset({"balance_is_sum_of_transactions", "balance_after_is_running_balance"}),
    ),
    Breakage(
        "transaction_has_user_and_product",
        [f"DELETE FROM product WHERE id = {PREMIUM}"],
        [{"user_id": ANNA, "seq": seq, "product_id": PREMIUM} for seq in (4, 5)],
        frozenset({"inventory_has_user_and_product"}),
    ),
    Breakage(  # one leg only
        "ledger_entries_balance",
        [
            "DROP VIEW ledger_entry",
            """CREATE VIEW ledger_entry AS SELECT user_id, id AS transaction_id, amount
            FROM "transaction" WHERE status = 'completed' AND amount > 0""",
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
]

APPEND_ONLY, NO_TRUNCATE = "transaction_append_only", "transaction_no_truncate"
POSTGRES_UNGUARDS = [
    (f'DROP TRIGGER {APPEND_ONLY} ON "transaction"', "missing", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" DISABLE TRIGGER {APPEND_ONLY}', "disabled", [APPEND_ONLY]),
    (f'ALTER TABLE "transaction" ENABLE REPLICA TRIGGER {NO_TRUNCATE}', "disabled", [NO_TRUNCATE]),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE DELETE ON "transaction"
        FOR EACH ROW EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        f"""CREATE OR REPLACE TRIGGER {APPEND_ONLY} BEFORE UPDATE OR DELETE ON "transaction"
        FOR EACH ROW WHEN (OLD.amount > 5) EXECUTE FUNCTION transaction_is_append_only()""",
        "changed",
        [APPEND_ONLY],
    ),
    (
        """CREATE OR REPLACE FUNCTION transaction_is_append_only() RETURNS trigger
        LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'""",
        "changed",
        [APPEND_ONLY, NO_TRUNCATE],
    ),
]
SQLITE_UNGUARDS = [
    ([f"DROP TRIGGER {APPEND_ONLY}"], APPEND_ONLY, "missing"),
    (["DROP TRIGGER transaction_no_delete"], "transaction_no_delete", "missing"),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f'CREATE TRIGGER {APPEND_ONLY} BEFORE UPDATE ON "transaction" BEGIN SELECT 1; END',
        ],
        APPEND_ONLY,
        "changed",
    ),
    (
        [
            f"DROP TRIGGER {APPEND_ONLY}",
            f"""CREATE TRIGGER {APPEND_ONLY} BEFORE INSERT ON "transaction"
            BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
        ],
        APPEND_ONLY,
        "changed",
    ),
]
