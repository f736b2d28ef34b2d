"""Tests of the view that shows the journal as double entries."""

import pytest

from economy.errors import InsufficientFunds
from tests.rows import PENDING, insert, transaction
from tests.world import World


async def test_every_completed_transaction_has_two_legs_that_add_up_to_nothing(
    world: World,
) -> None:
    await world.credit(world.anna, 1000)
    await world.buy(world.anna, world.boost, quantity=3)
    await world.use(world.anna, world.boost, quantity=2)
    await world.buy(world.anna, world.premium)
    await world.credit(world.boris, 70)
    with pytest.raises(InsufficientFunds):
        await world.buy(world.boris, world.boost)
    await world.sql(insert("transaction", transaction(3, **PENDING, user_id=str(world.boris.id))))

    legs = await world.sql(
        """SELECT entry.user_id, entry.seq, account, entry.amount
        FROM ledger_entry AS entry JOIN "transaction" AS row ON row.id = entry.transaction_id
        AND row.user_id = entry.user_id AND row.created_at = entry.created_at
        ORDER BY entry.user_id, entry.seq, account <> 'user'"""
    )

    anna, boris = world.anna.id, world.boris.id
    assert [tuple(leg) for leg in legs] == [
        *((anna, 1, "user", 1000), (anna, 1, "mint", -1000)),
        *((anna, 2, "user", -300), (anna, 2, "sales", 300)),
        *((anna, 3, "user", 0), (anna, 3, "consumption", 0)),
        *((anna, 4, "user", -500), (anna, 4, "sales", 500)),
        *((boris, 1, "user", 70), (boris, 1, "mint", -70)),
    ]
    balances = await world.sql('SELECT id, balance FROM "user" ORDER BY id')
    assert [tuple(balance) for balance in balances] == [(anna, 200), (boris, 70)]
    sums = await world.sql(
        """SELECT user_id, CAST(SUM(amount) AS BIGINT) FROM ledger_entry WHERE account = 'user'
        GROUP BY user_id ORDER BY user_id"""
    )
    assert sums == balances
