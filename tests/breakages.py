"""What breaks the invariants of users, inventory and claims, and what is then found."""

from typing import Any, NamedTuple

from economy.models.user import BALANCE_LIMIT
from tests.busy_economy import ANNA, BOOST, BORIS, CLARA, DORA, NOBODY, PREMIUM


class Breakage(NamedTuple):
    invariant: str
    statements: list[str]
    rows: list[dict[str, Any]]  # with the columns that matter
    others: frozenset[str] = frozenset()  # what is no longer true either

    @property
    def is_of_journal(self) -> bool:
        """Whether it edits a row of the journal: then that no longer fits its link, either."""
        edits = ('UPDATE "transaction"', 'DELETE FROM "transaction"')
        return any(statement.startswith(edits) for statement in self.statements)


def change(table: str, assignment: str, **where: int) -> str:
    condition = " AND ".join(f"{column} = {value}" for column, value in where.items())
    return f'UPDATE "{table}" SET {assignment} WHERE {condition}'


BALANCES = [
    Breakage(
        "balance_in_range",
        [change("user", "balance = -1", id=ANNA)],
        [{"user_id": ANNA, "balance": -1}],
        frozenset({"balance_is_sum_of_transactions"}),
    ),
    Breakage(
        "balance_in_range",
        [change("user", f"balance = {BALANCE_LIMIT + 1}", id=ANNA)],
        [{"user_id": ANNA, "balance": BALANCE_LIMIT + 1}],
        frozenset({"balance_is_sum_of_transactions"}),
    ),
    Breakage(
        "balance_is_sum_of_transactions",
        [change("user", "balance = 201", id=ANNA)],
        [{"user_id": ANNA, "balance": 201, "sum_of_transactions": 200}],
    ),
    Breakage(
        "balance_after_is_running_balance",
        [change("transaction", "balance_after = 650", user_id=ANNA, seq=3)],
        [
            {"user_id": ANNA, "seq": 3, "worth_before": 700, "balance_after": 650},
            {"user_id": ANNA, "seq": 4, "worth_before": 650, "balance_after": 200},
        ],
    ),
    Breakage(  # a decline repeats it
        "balance_after_is_running_balance",
        [change("transaction", "balance_after = 0", user_id=ANNA, seq=6)],
        [{"seq": 6, "status": "failed", "worth_before": 200, "balance_after": 0}],
    ),
    Breakage(  # it all adds up, but to a debt
        "balance_after_is_running_balance",
        [
            change("transaction", "amount = 1000", user_id=ANNA, seq=4),
            f'UPDATE "transaction" SET balance_after = -300 WHERE user_id = {ANNA} AND seq >= 4',
            change("user", "balance = -300", id=ANNA),
        ],
        [{"seq": seq, "balance_after": -300} for seq in (4, 5, 6)],
        frozenset({"balance_in_range"}),
    ),
    Breakage(
        "balance_after_is_running_balance",
        [change("transaction", "debt_after = 251", user_id=CLARA, seq=13)],
        [{"seq": 13, "worth_before": -350, "balance_after": 0, "debt_after": 251}],
    ),
    Breakage(  # it all adds up, but repays nothing
        "balance_after_is_running_balance",
        [change("transaction", "balance_after = 100, debt_after = 350", user_id=CLARA, seq=13)],
        [{"seq": 13, "balance_after": 100, "debt_after": 350}],
    ),
    Breakage(  # what was settled later has its place where it was settled
        "balance_after_is_running_balance",
        [change("transaction", "settled_seq = 15", user_id=CLARA, seq=1)],
        [
            {"seq": 2, "settled_seq": 4, "worth_before": 0, "balance_after": 400},
            {"seq": 1, "settled_seq": 15, "worth_before": -250, "balance_after": 400},
        ],
        frozenset({"seq_without_gaps"}),
    ),
    Breakage(  # so much that taking one from the other overflows
        "balance_after_is_running_balance",
        [
            change(
                "transaction",
                f"balance_after = {2**63 - 1}, debt_after = {-(2**63) + 1}",
                user_id=CLARA,
                seq=13,
            )
        ],
        [{"seq": 13, "balance_after": 2**63 - 1, "debt_after": -(2**63) + 1}],
    ),
]

DEBTS = [
    Breakage(
        "debt_only_without_balance",
        [change("user", "debt = -1", id=BORIS)],
        [{"user_id": BORIS, "balance": 0, "debt": -1}],
        frozenset({"balance_is_sum_of_transactions"}),
    ),
    Breakage(
        "debt_only_without_balance",
        [
            change(
                "user", f"balance = balance + {BALANCE_LIMIT}, debt = {BALANCE_LIMIT + 1}", id=ANNA
            )
        ],
        [{"user_id": ANNA, "balance": BALANCE_LIMIT + 200, "debt": BALANCE_LIMIT + 1}],
        frozenset({"balance_in_range", "balance_is_sum_of_transactions"}),
    ),
    Breakage(  # it all adds up, but both at once
        "debt_only_without_balance",
        [change("user", "balance = 10, debt = 260", id=CLARA)],
        [{"user_id": CLARA, "balance": 10, "debt": 260}],
    ),
    Breakage(
        "balance_is_sum_of_transactions",
        [change("user", "debt = 249", id=CLARA)],
        [{"user_id": CLARA, "balance": 0, "debt": 249, "sum_of_transactions": -250}],
    ),
]

DELETED = [
    Breakage(
        "deleted_users_are_nameless",
        [change("user", "deleted_at = NULL", id=DORA)],
        [{"user_id": DORA, "username": "deleted:4", "email": "deleted:4", "deleted_at": None}],
    ),
    Breakage(
        "deleted_users_are_nameless",
        [change("user", "deleted_at = created_at", id=ANNA)],
        [{"user_id": ANNA, "username": "anna", "email": "anna@example.com"}],
    ),
    Breakage(
        "deleted_users_are_nameless",
        [
            change("user", "email = 'dora@example.com'", id=DORA),
            "UPDATE claim SET value = 'dora@example.com' "
            "WHERE value = 'deleted:4' AND kind = 'email'",
        ],
        [{"user_id": DORA, "username": "deleted:4", "email": "dora@example.com"}],
    ),
    Breakage(
        "deleted_users_are_nameless",
        [
            change("user", "username = 'deleted:5'", id=DORA),
            "UPDATE claim SET value = 'deleted:5' WHERE value = 'deleted:4' AND kind = 'username'",
        ],
        [{"user_id": DORA, "username": "deleted:5", "email": "deleted:4"}],
    ),
]

QUANTITIES = [
    Breakage(
        "quantity_in_range",
        [change("inventory", "quantity = -1", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": -1}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(
        "quantity_in_range",
        [change("inventory", "quantity = 1000000001", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": 1_000_000_001}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(
        "quantity_is_sum_of_movements",
        [change("inventory", "quantity = 3", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "quantity": 3, "sum_of_movements": 2}],
    ),
    Breakage(  # all of it is used up, but the row should stay
        "quantity_is_sum_of_movements",
        [f"DELETE FROM inventory WHERE user_id = {BORIS}"],
        [{"user_id": BORIS, "product_id": BOOST, "inventory_rows": 0, "movements": 2}],
    ),
    Breakage(  # never bought
        "quantity_is_sum_of_movements",
        [
            f"""INSERT INTO inventory SELECT user_id, id, {PREMIUM}, 'permanent', 0, purchased_at
            FROM inventory WHERE user_id = {BORIS}"""
        ],
        [{"user_id": BORIS, "product_id": PREMIUM, "inventory_rows": 1, "movements": 0}],
    ),
    Breakage(
        "quantity_after_is_running_quantity",
        [change("transaction", "quantity_after = 7", user_id=ANNA, seq=6)],
        [{"user_id": ANNA, "product_id": BOOST, "seq": 6, "quantity_before": 2}],
    ),
    Breakage(  # granted, and taken again
        "quantity_after_is_running_quantity",
        [change("transaction", "quantity_after = 0", user_id=CLARA, seq=9)],
        [
            {"seq": 9, "kind": "grant", "quantity_before": 0, "quantity_after": 0},
            {"seq": 10, "kind": "revocation", "quantity_before": 0, "quantity_after": 0},
        ],
    ),
    Breakage(
        "quantity_after_is_running_quantity",
        [change("transaction", "quantity_after = 1", user_id=CLARA, seq=8)],
        [{"seq": 8, "kind": "reversal", "quantity_before": 1, "quantity_after": 1}],
    ),
    Breakage(
        "permanent_product_once",
        [change("inventory", "quantity = 2", user_id=ANNA, product_id=PREMIUM)],
        [{"user_id": ANNA, "product_id": PREMIUM, "quantity": 2}],
        frozenset({"quantity_is_sum_of_movements"}),
    ),
    Breakage(  # once, in between
        "permanent_product_once",
        [change("transaction", "quantity_after = 2", user_id=CLARA, seq=9)],
        [{"user_id": CLARA, "product_id": PREMIUM, "quantity": 2}],
        frozenset({"quantity_after_is_running_quantity"}),
    ),
    Breakage(
        "inventory_has_user_and_product",
        [change("inventory", "product_type = 'permanent'", user_id=ANNA, product_id=BOOST)],
        [{"user_id": ANNA, "product_id": BOOST, "missing": "product"}],
    ),
    Breakage(
        "inventory_has_user_and_product",
        [f'DELETE FROM "user" WHERE id = {BORIS}'],
        [{"user_id": BORIS, "product_id": BOOST, "missing": "user"}],
        frozenset({"transaction_has_user_and_product", "username_and_email_are_claimed"}),
    ),
]

CLAIMS = [
    Breakage(
        "username_and_email_are_claimed",
        ["DELETE FROM claim WHERE value = 'anna'"],
        [{"user_id": ANNA, "kind": "username", "value": "anna", "claimed_value": None}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        ["UPDATE claim SET value = 'Anna@example.com' WHERE value = 'anna@example.com'"],
        [{"user_id": ANNA, "kind": "email", "claimed_value": "Anna@example.com"}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('annie', 'username', {ANNA})"],
        [{"user_id": ANNA, "kind": "username", "claims": 2}],
    ),
    Breakage(
        "username_and_email_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('ghost', 'username', {NOBODY})"],
        [{"user_id": NOBODY, "value": None, "claimed_value": "ghost"}],
    ),
    Breakage(
        "one_transaction_per_external_reference",
        [change("transaction", "external_reference = 'order-1'", user_id=BORIS, seq=1)],
        [{"external_reference": "order-1", "transactions": 2, "greatest_user_id": BORIS}],
        frozenset({"external_references_are_claimed"}),
    ),
    Breakage(
        "external_references_are_claimed",
        ["DELETE FROM claim WHERE value = 'order-1'"],
        [{"external_reference": "order-1", "user_id": ANNA, "transactions": 1, "claims": 0}],
    ),
    Breakage(
        "external_references_are_claimed",
        [f"INSERT INTO claim (value, kind, user_id) VALUES ('o-2', 'external_reference', {ANNA})"],
        [{"external_reference": "o-2", "user_id": ANNA, "transactions": 0, "claims": 1}],
    ),
    Breakage(
        "external_references_are_claimed",
        [f"UPDATE claim SET user_id = {BORIS} WHERE value = 'order-1'"],
        [
            {"user_id": ANNA, "transactions": 1, "claims": 0},
            {"user_id": BORIS, "transactions": 0, "claims": 1},
        ],
    ),
    Breakage(  # of a pending one
        "external_references_are_claimed",
        ["DELETE FROM claim WHERE value = 'pay-3'"],
        [{"external_reference": "pay-3", "user_id": CLARA, "transactions": 1, "claims": 0}],
    ),
    Breakage(  # of one that has failed: it is free
        "external_references_are_claimed",
        [
            "INSERT INTO claim (value, kind, user_id) "
            f"VALUES ('pay-2', 'external_reference', {CLARA})"
        ],
        [{"external_reference": "pay-2", "user_id": CLARA, "transactions": 0, "claims": 1}],
    ),
    Breakage(  # by a pending one
        "one_transaction_per_external_reference",
        [change("transaction", "external_reference = 'order-1'", user_id=CLARA, seq=14)],
        [{"external_reference": "order-1", "transactions": 2, "greatest_user_id": CLARA}],
        frozenset({"external_references_are_claimed"}),
    ),
]

HOLDING_BREAKAGES = [*BALANCES, *DEBTS, *DELETED, *QUANTITIES, *CLAIMS]
