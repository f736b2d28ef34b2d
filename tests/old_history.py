"""A database as it was before top-ups could wait: histories of two users, in raw SQL."""

import hashlib
import json

ROWS_AT_ONCE = 1_000  # the migration reads that many: Boris has more
BORIS_ROWS = ROWS_AT_ONCE + 200
ANNA, BORIS, CLARA = 1, 2, 3
BOOST, PREMIUM = 1, 2
KEY = "the-'second'-\"one\""
# kind, product, quantity, amount, balance_after, quantity_after, failure_code, key, reference
ANNA_DID: list[tuple[object, ...]] = [
    ("top_up", None, None, 1000, 1000, None, None, "first", "receipt-1"),
    ("purchase", BOOST, 2, 200, 800, 2, None, KEY, None),
    ("purchase", PREMIUM, 1, 500, 300, 1, None, None, None),
    ("purchase", PREMIUM, 1, 500, 300, 1, "ALREADY_OWNED", "again", None),
    ("use", BOOST, 1, 0, 300, 1, None, KEY, None),
    ("purchase", BOOST, 5, 500, 300, 1, "INSUFFICIENT_FUNDS", None, None),
    ("top_up", None, None, 5, 300, None, "ALREADY_TAKEN", "second", "receipt-1"),
    ("use", BOOST, 9, 0, 300, 1, "NOT_ENOUGH_ITEMS", None, None),
]
BORIS_DID: list[tuple[object, ...]] = [
    ("top_up", None, None, 1, seq, None, None, f"key-{seq}", "receipt-2" if seq == 1 else None)
    for seq in range(1, BORIS_ROWS + 1)
]
# what each of Anna's asked, in its canonical form
ASKED: dict[int, list[object]] = {
    1: ["top_up", ANNA, 1000, "receipt-1"],
    2: ["purchase", ANNA, BOOST, 2, None],
    4: ["purchase", ANNA, PREMIUM, 1, None],
}
COLUMNS = (
    *("user_id", "id", "seq", "kind", "status", "product_id", "quantity", "amount"),
    *("balance_after", "quantity_after", "failure_code", "actor", "idempotency_key"),
    *("request_hash", "external_reference", "created_at", "completed_at"),
)


def old_database(dialect: str) -> list[str]:
    """Statements that fill it."""
    at = "'2026-11-23 12:00:00.000000'"
    people = [(ANNA, "Anna", 300, len(ANNA_DID)), (BORIS, "boris", BORIS_ROWS, BORIS_ROWS)]
    users = ", ".join(
        f"({id_}, '{name}', '{name}@example.com', {balance}, {last_seq}, {at})"
        for id_, name, balance, last_seq in [*people, (CLARA, "clara", 0, 0)]
    )
    claims = ", ".join(
        f"('{name}', 'username', {id_}), ('{name}@example.com', 'email', {id_})"
        for id_, name in ((ANNA, "anna"), (BORIS, "boris"), (CLARA, "clara"))
    )
    rows = [_row(dialect, ANNA, seq, did) for seq, did in enumerate(ANNA_DID, start=1)]
    rows += [_row(dialect, BORIS, seq, did) for seq, did in enumerate(BORIS_DID, start=1)]
    return [
        f"""INSERT INTO "user" (id, username, email, balance, last_seq, created_at)
        VALUES {users}""",
        f"""INSERT INTO claim (value, kind, user_id) VALUES {claims},
        ('receipt-1', 'external_reference', {ANNA}),
        ('receipt-2', 'external_reference', {BORIS})""",
        f"""INSERT INTO product (id, name, description, price, type, is_active, created_at)
        VALUES ({BOOST}, 'boost', '', 100, 'consumable', true, {at}),
        ({PREMIUM}, 'premium', '', 500, 'permanent', true, {at})""",
        f"""INSERT INTO inventory (user_id, id, product_id, product_type, quantity, purchased_at)
        VALUES ({ANNA}, {_uuid(1)}, {BOOST}, 'consumable', 1, {at}),
        ({ANNA}, {_uuid(2)}, {PREMIUM}, 'permanent', 1, {at})""",
        f'INSERT INTO "transaction" ({", ".join(COLUMNS)}) VALUES {", ".join(rows)}',
    ]


def _row(dialect: str, user_id: int, seq: int, did: tuple[object, ...]) -> str:
    kind, product, quantity, amount, balance, held, failure_code, key, reference = did
    asked = ASKED.get(seq) if user_id == ANNA else None
    canonical = json.dumps(asked or [user_id, seq], separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    at = f"'2026-11-23 12:{seq // 60 % 60:02}:{seq % 60:02}.{seq * 7919 % 1_000_000:06}'"
    values = [
        *(str(user_id), _uuid(seq), str(seq), _literal(kind)),
        "'completed'" if failure_code is None else "'failed'",
        *map(_literal, (product, quantity, amount, balance, held, failure_code)),
        *(f"'player:{user_id}'", _literal(key)),
        f"X'{digest}'" if dialect == "sqlite" else f"decode('{digest}', 'hex')",
        *(_literal(reference), at, at),
    ]
    return f"({', '.join(values)})"


def _uuid(number: int) -> str:
    return f"'{number:032x}'"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
