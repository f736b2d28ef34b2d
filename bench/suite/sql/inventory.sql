\set user random(1, 10000)
SELECT i.id, i.quantity, i.purchased_at, p.id, p.name, p.description, p.price, p.type, p.is_active
FROM inventory i JOIN products p ON p.id = i.product_id
WHERE i.user_id = :user AND i.quantity > 0 ORDER BY i.id;
