\set user random(1, 10000)
\set product 1 + mod(:user + 10 * random(0, 9), 100)
\set key random(1, 9000000000000000000)
WITH debit AS (
    UPDATE users SET balance = balance - p.price FROM products p
    WHERE users.id = :user AND p.id = :product AND p.is_active AND users.balance >= p.price
    RETURNING users.balance, p.price
), item AS (
    INSERT INTO inventory (user_id, product_id, quantity) SELECT :user, :product, 1 FROM debit
    ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = inventory.quantity + 1
    RETURNING quantity
)
INSERT INTO transactions (user_id, product_id, quantity, amount, balance_after,
    quantity_after, status, idempotency_key)
SELECT :user, :product, 1, debit.price, debit.balance, item.quantity, 'completed',
    :run::text || :key::text
FROM debit, item
RETURNING id, balance_after, quantity_after;
