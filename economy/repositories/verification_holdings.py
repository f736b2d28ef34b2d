"""What must be true of users, their balances, inventories and claims.

Where two tables must agree in both directions, their rows are put into one heap and grouped: one
sort, on both databases, where joins would be nested loops on SQLite.
"""

from economy.models.inventory import HOLDING_LIMIT
from economy.models.user import BALANCE_LIMIT
from economy.repositories.verification import COINS_MOVED, UNITS_MOVED, Invariant, Row

BALANCE_IN_RANGE = Invariant(
    name="balance_in_range",
    meaning=f"A balance is never below 0 or above {BALANCE_LIMIT} (2^53-1).",
    table="user",
    broken=f"""
        SELECT id AS user_id, balance FROM "user"
        WHERE balance NOT BETWEEN 0 AND {BALANCE_LIMIT}
        ORDER BY id""",
)

BALANCE_IS_SUM_OF_TRANSACTIONS = Invariant(
    name="balance_is_sum_of_transactions",
    meaning="A balance less the debt is the sum of the coins that completed transactions moved.",
    table="user",
    broken=f"""
        SELECT user_id, max(balance) AS balance, max(debt) AS debt,
               sum(coins) AS sum_of_transactions
        FROM (
            SELECT id AS user_id, balance, debt, 0 AS coins FROM "user"
            UNION ALL
            SELECT user_id, NULL, NULL, {COINS_MOVED} FROM "transaction"
        ) AS heap
        GROUP BY user_id
        HAVING max(balance) - max(debt) <> sum(coins)
        ORDER BY user_id""",
    is_by_user=True,
)

DEBT_ONLY_WITHOUT_BALANCE = Invariant(
    name="debt_only_without_balance",
    meaning=f"A debt is 0 to {BALANCE_LIMIT}, and above 0 only while the balance is 0.",
    table="user",
    broken=f"""
        SELECT id AS user_id, balance, debt FROM "user"
        WHERE debt NOT BETWEEN 0 AND {BALANCE_LIMIT} OR (debt > 0 AND balance > 0)
        ORDER BY id""",
)

QUANTITY_IN_RANGE = Invariant(
    name="quantity_in_range",
    meaning=f"A quantity held is never below 0 or above {HOLDING_LIMIT}.",
    table="inventory",
    broken=f"""
        SELECT user_id, product_id, quantity FROM inventory
        WHERE quantity NOT BETWEEN 0 AND {HOLDING_LIMIT}
        ORDER BY user_id, product_id""",
)

QUANTITY_IS_SUM_OF_MOVEMENTS = Invariant(
    name="quantity_is_sum_of_movements",
    meaning="Who ever got a product has one inventory row of it: the sum of what was moved.",
    table="inventory",
    broken=f"""
        SELECT user_id, product_id, sum(held) AS quantity, sum(moved) AS sum_of_movements,
               sum(is_item) AS inventory_rows, sum(is_movement) AS movements
        FROM (
            SELECT user_id, product_id, quantity AS held, 0 AS moved, 1 AS is_item, 0 AS is_movement
            FROM inventory
            UNION ALL
            SELECT user_id, product_id, 0, {UNITS_MOVED}, 0, 1
            FROM "transaction" WHERE status = 'completed' AND product_id IS NOT NULL
        ) AS heap
        GROUP BY user_id, product_id
        HAVING sum(held) <> sum(moved) OR sum(is_item) <> 1 OR sum(is_movement) = 0
        ORDER BY user_id, product_id""",
    is_by_user=True,
)

PERMANENT_PRODUCT_ONCE = Invariant(
    name="permanent_product_once",
    meaning="A permanent product is held at most once by a user, and was at each moment.",
    table="inventory",
    broken="""
        SELECT user_id, product_id, max(held) AS quantity
        FROM (
            SELECT user_id, product_id, quantity AS held FROM inventory
            UNION ALL
            SELECT user_id, product_id, quantity_after FROM "transaction"
            WHERE quantity_after > 1
        ) AS heap JOIN product ON product.id = product_id
        WHERE type = 'permanent'
        GROUP BY user_id, product_id
        HAVING max(held) > 1
        ORDER BY user_id, product_id""",
)

INVENTORY_HAS_USER_AND_PRODUCT = Invariant(
    name="inventory_has_user_and_product",
    meaning="The user and the product of an inventory row exist, and it names the product's type.",
    table="inventory",
    broken="""
        SELECT item.user_id, item.product_id, item.product_type,
               CASE WHEN "user".id IS NULL THEN 'user' ELSE 'product' END AS missing
        FROM inventory AS item
        LEFT JOIN "user" ON "user".id = item.user_id
        LEFT JOIN product ON product.id = item.product_id AND product.type = item.product_type
        WHERE "user".id IS NULL OR product.id IS NULL
        ORDER BY item.user_id, item.product_id""",
)


def _is_claimed_wrongly(row: Row) -> bool:
    """Names are lowered by Python: SQLite's lower() knows no letters but ASCII."""
    if row["value"] is None or row["claims"] != 1:
        return True
    return bool(row["claimed_value"] != row["value"].lower())


USERNAME_AND_EMAIL_ARE_CLAIMED = Invariant(
    name="username_and_email_are_claimed",
    meaning="Each user has claimed its username and its e-mail, in lower case, and no others.",
    table="user",
    broken="""
        SELECT user_id, kind, max(name) AS value, max(claimed) AS claimed_value,
               count(claimed) AS claims
        FROM (
            SELECT id AS user_id, 'username' AS kind, username AS name, NULL AS claimed FROM "user"
            UNION ALL
            SELECT id, 'email', email, NULL FROM "user"
            UNION ALL
            SELECT user_id, kind, NULL, value FROM claim WHERE kind IN ('username', 'email')
        ) AS heap
        GROUP BY user_id, kind
        HAVING count(name) <> 1 OR count(claimed) <> 1 OR max(claimed) <> lower(max(name))
        ORDER BY user_id, kind""",
    is_broken=_is_claimed_wrongly,
)

DELETED_USERS_ARE_NAMELESS = Invariant(
    name="deleted_users_are_nameless",
    meaning="A deleted user, and nobody else, is named after its id.",
    table="user",
    broken="""
        SELECT id AS user_id, username, email, deleted_at FROM "user"
        WHERE (deleted_at IS NOT NULL) <> (username = 'deleted:' || CAST(id AS varchar))
            OR (deleted_at IS NOT NULL) <> (email = 'deleted:' || CAST(id AS varchar))
        ORDER BY id""",
)

HOLDINGS = (
    BALANCE_IN_RANGE,
    DEBT_ONLY_WITHOUT_BALANCE,
    BALANCE_IS_SUM_OF_TRANSACTIONS,
    QUANTITY_IN_RANGE,
    QUANTITY_IS_SUM_OF_MOVEMENTS,
    PERMANENT_PRODUCT_ONCE,
    INVENTORY_HAS_USER_AND_PRODUCT,
    USERNAME_AND_EMAIL_ARE_CLAIMED,
    DELETED_USERS_ARE_NAMELESS,
)
