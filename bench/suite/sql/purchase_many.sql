\set user random(1, 10000)
\set product 1 + mod(:user + 10 * random(0, 9), 100)
\set key random(1, 9000000000000000000)
BEGIN;
SELECT price FROM products WHERE id = :product AND is_active \gset
UPDATE users SET balance = balance - :price::bigint
    WHERE id = :user AND balance >= :price::bigint RETURNING balance \gset
INSERT INTO inventory (user_id, product_id, quantity) VALUES (:user, :product, 1)
    ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = inventory.quantity + 1
    RETURNING quantity \gset
INSERT INTO transactions (user_id, product_id, quantity, amount, balance_after,
    quantity_after, status, idempotency_key)
    VALUES (:user, :product, 1, :price::bigint, :balance::bigint, :quantity::bigint, 'completed',
        :run::text || :key::text);
COMMIT;
