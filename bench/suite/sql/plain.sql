-- What pgbench and the peers work on: the same tables and the same rules as ours, in their
-- simplest form, and one function for each of the two use cases.
CREATE TABLE users (
    id int PRIMARY KEY,
    username text NOT NULL,
    email text NOT NULL,
    balance bigint NOT NULL CHECK (balance >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE products (
    id int PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    price bigint NOT NULL CHECK (price >= 0),
    type text NOT NULL,
    is_active boolean NOT NULL DEFAULT true
);
CREATE TABLE inventory (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id int NOT NULL REFERENCES users,
    product_id int NOT NULL REFERENCES products,
    quantity bigint NOT NULL CHECK (quantity >= 0),
    purchased_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, product_id)
);
CREATE TABLE transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id int NOT NULL REFERENCES users,
    product_id int NOT NULL REFERENCES products,
    quantity bigint NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    quantity_after bigint NOT NULL,
    status text NOT NULL,
    idempotency_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, idempotency_key)
);

CREATE TYPE purchase_success AS (
    transaction_id bigint, balance bigint, quantity bigint, replayed boolean
);

-- The same key answers again and does nothing again; of two at once the later one fails.
CREATE FUNCTION purchase(user_id int, product_id int, idempotency_key text)
RETURNS purchase_success LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    outcome purchase_success;
BEGIN
    SELECT t.id, t.balance_after, t.quantity_after, true INTO outcome FROM transactions t
    WHERE t.user_id = $1 AND t.idempotency_key = $3;
    IF FOUND THEN
        RETURN outcome;
    END IF;
    WITH debit AS (
        UPDATE users SET balance = balance - p.price FROM products p
        WHERE users.id = $1 AND p.id = $2 AND p.is_active AND users.balance >= p.price
        RETURNING users.balance, p.price
    ), item AS (
        INSERT INTO inventory (user_id, product_id, quantity) SELECT $1, $2, 1 FROM debit
        ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = inventory.quantity + 1
        RETURNING quantity
    )
    INSERT INTO transactions (user_id, product_id, quantity, amount, balance_after,
        quantity_after, status, idempotency_key)
    SELECT $1, $2, 1, debit.price, debit.balance, item.quantity, 'completed', $3 FROM debit, item
    RETURNING id, balance_after, quantity_after, false INTO outcome;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'insufficient funds, or no such user or product';
    END IF;
    RETURN outcome;
END $$;

CREATE FUNCTION inventory_of(user_id int) RETURNS SETOF inventory LANGUAGE sql STABLE AS $$
    SELECT i.* FROM inventory i WHERE i.user_id = $1 AND i.quantity > 0 ORDER BY i.id
$$;
