"""A small game after ninety days, for statistics as in production."""

import asyncpg

USERS, ACTIVE_USERS, HISTORY = 10_000, 2_000, 40
# Ninety days of a small game: statistics as in production, so the planner's choice is the same.
GROWN = f"""
INSERT INTO "user" (id, username, email, balance, last_seq, created_at)
SELECT n, 'player' || n, 'player' || n || '@example.com', 1000, {HISTORY}, now()
FROM generate_series(1, {USERS}) AS n;
INSERT INTO claim (value, kind, user_id)
SELECT 'player' || n || suffix, kind, n
FROM generate_series(1, {USERS}) AS n,
    (VALUES ('', 'username'), ('@example.com', 'email')) AS kinds (suffix, kind);
INSERT INTO product (id, name, description, price, type, is_active, created_at)
SELECT n, 'product ' || n, '', n, 'consumable', true, now() FROM generate_series(1, 100) AS n;
INSERT INTO inventory (user_id, id, product_id, product_type, quantity, purchased_at)
SELECT u, gen_random_uuid(), u % 90 + n, 'consumable', n % 5, now()
FROM generate_series(1, {ACTIVE_USERS}) AS u, generate_series(1, 10) AS n;
INSERT INTO transaction (user_id, id, seq, kind, status, product_id, quantity, amount,
    balance_after, quantity_after, failure_code, actor, idempotency_key, request_hash,
    created_at, completed_at, debt_after, settled_seq, hash)
SELECT u, gen_random_uuid(), n, kind, CASE WHEN is_failed THEN 'failed' ELSE 'completed' END,
    CASE WHEN is_of_product THEN (u * 7 + n) % 100 + 1 END, CASE WHEN is_of_product THEN 1 END, 10,
    1000, CASE WHEN is_of_product THEN 1 END, CASE WHEN is_failed THEN 'INSUFFICIENT_FUNDS' END,
    'player:' || u, 'key-' || n, sha256('input'), at, at, 0, n,
    sha256('link')
FROM generate_series(1, {HISTORY}) AS n, generate_series(1, {ACTIVE_USERS}) AS u,
    LATERAL (SELECT now() - random() * interval '90 days' AS at, n % 10 = 0 AS is_failed,
        n % 4 <> 0 AS is_of_product,
        (ARRAY['top_up', 'purchase', 'use', 'purchase'])[n % 4 + 1] AS kind) AS drawn;
INSERT INTO transaction (user_id, id, seq, kind, status, amount, actor, request_hash, created_at,
    hash)
SELECT n, gen_random_uuid(), 1001, 'top_up', 'pending', 10, 'server:1', sha256('input'),
    now() - random() * interval '1 day', sha256('link') FROM generate_series(1, 500) AS n;
INSERT INTO transaction (user_id, id, seq, kind, status, product_id, quantity, amount,
    balance_after, quantity_after, actor, request_hash, created_at, completed_at, debt_after,
    settled_seq, hash, target_id, shortfall)
SELECT user_id, gen_random_uuid(), 1002, 'reversal', 'completed', product_id, 1, 10, 1000, 1,
    'server:1', sha256('input'), now(), now(), 0, 1002, sha256('link'), id, 0
FROM transaction WHERE seq = 9 AND user_id % 4 = 0;
INSERT INTO server_key (id, key_hash, scopes, created_at)
SELECT gen_random_uuid(), sha256(n::text::bytea), 'read:any', now()
FROM generate_series(1, 1000) AS n;
INSERT INTO purchase_hour (hour, product_id, purchases)
SELECT hour, n, n FROM generate_series(1, 100) AS n, generate_series(
    date_trunc('hour', now()) - interval '8 days',
    date_trunc('hour', now()) - interval '2 hours', interval '1 hour') AS hour;
ANALYZE;
"""


async def grow(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(GROWN)
    await connection.close()
