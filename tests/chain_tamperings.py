"""What only the chain tells: old rows are edited so that all sums still fit."""

from tests.breakages import Breakage, change
from tests.busy_economy import ANNA, BORIS, CLARA, DORA

LINK, HEAD = "the row does not fit its link", "the newest link is not the user's"
FIRST_OF_CLARA = f'SELECT id FROM "transaction" WHERE user_id = {CLARA} AND seq = 1'
OTHER = "x'{}'".format("ab" * 32)  # as SQLite writes it


def journal(assignment: str, user_id: int, seq: int) -> str:
    return change("transaction", assignment, user_id=user_id, seq=seq)


def swap(column: str, user_id: int, one: int, other: int) -> str:
    return f"""UPDATE "transaction" SET {column} = other.{column}
    FROM (SELECT * FROM "transaction" WHERE user_id = {user_id}) AS other
    WHERE "transaction".user_id = {user_id} AND "transaction".seq IN ({one}, {other})
        AND other.seq = {one + other} - "transaction".seq"""


def tampering(
    statements: list[str], rows: list[tuple[int, int]], heads: list[int] | None = None
) -> Breakage:
    """`rows` are named, by user and seq, and the users whose newest link is not theirs."""
    found = [{"user_id": user_id, "seq": seq, "problem": LINK} for user_id, seq in rows]
    found += [{"user_id": user_id, "problem": HEAD} for user_id in heads or []]
    return Breakage("journal_is_chained", statements, found)


CHAIN_TAMPERINGS = [
    # who asked
    tampering([journal("actor = 'player:2'", ANNA, 2)], [(ANNA, 2)]),
    # when
    tampering([swap("created_at", ANNA, 1, 4)], [(ANNA, 1), (ANNA, 4)]),
    # for which payment
    tampering(
        [swap("external_reference", CLARA, 1, 14)],
        [(CLARA, 1), (CLARA, 14)],
    ),
    # what was asked
    tampering([journal(f"request_hash = {OTHER}", BORIS, 3)], [(BORIS, 3)]),
    # under which key
    tampering([journal("idempotency_key = 'a-2'", ANNA, 1)], [(ANNA, 1)]),
    # why it was declined
    tampering([journal("failure_code = 'PRICE_CHANGED'", ANNA, 6)], [(ANNA, 6)]),
    # coins, all along
    tampering(
        [
            journal("amount = 2000", ANNA, 1),
            f'UPDATE "transaction" SET balance_after = balance_after + 1000 WHERE user_id = {ANNA}',
            change("user", "balance = balance + 1000", id=ANNA),
        ],
        [(ANNA, seq) for seq in range(1, 7)],
    ),
    # a debt, forgiven
    tampering(
        [
            journal("amount = 350, balance_after = 0, debt_after = 0", CLARA, 13),
            change("user", "debt = 0", id=CLARA),
        ],
        [(CLARA, 13)],
    ),
    # what is pending
    tampering([journal("amount = 31", CLARA, 14)], [(CLARA, 14)]),
    # how it was settled
    tampering(
        [journal("failure_code = 'TOP_UP_EXPIRED'", CLARA, 2)],
        [(CLARA, 2)],
    ),
    # when it was settled
    tampering([journal("completed_at = created_at", CLARA, 1)], [(CLARA, 1)]),
    # what was settled
    tampering(
        [journal("created_at = completed_at, actor = 'server:x'", CLARA, 2)],
        [(CLARA, 2)],
    ),
    # which settlement was late
    tampering(
        [
            journal(f"target_id = ({FIRST_OF_CLARA})", CLARA, 5),
            journal("amount = 400", CLARA, 5),
        ],
        [(CLARA, 5)],
    ),
    # the newest row, gone
    tampering(
        [
            f'DELETE FROM "transaction" WHERE user_id = {ANNA} AND seq = 6',
            change("user", "last_seq = 5", id=ANNA),
        ],
        [],
        [ANNA],
    ),
    # a whole history, gone
    tampering(
        [
            f'DELETE FROM "transaction" WHERE user_id = {DORA}',
            change("user", "last_seq = 0, balance = 0", id=DORA),
        ],
        [],
        [DORA],
    ),
    # the newest link
    tampering([change("user", f"chain_hash = {OTHER}", id=BORIS)], [], [BORIS]),
    # a link: the next row fits no longer, either
    tampering([journal(f"hash = {OTHER}", ANNA, 3)], [(ANNA, 3), (ANNA, 4)]),
    # the last link
    tampering([journal(f"hash = {OTHER}", ANNA, 6)], [(ANNA, 6)], [ANNA]),
    # a link of a settlement
    tampering(
        [journal(f"settled_hash = {OTHER}", CLARA, 1)],
        [(CLARA, 1), (CLARA, 2)],
    ),
]
