"""Tests of the view that shows the journal as double entries."""

import pytest

from economy.errors import InsufficientFunds
from tests.busy_economy import live_a_life
from tests.world import SERVER, World


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
    clara = await world.services.users.create_user(SERVER, username="clara", email="c@example.com")
    await live_a_life(world, clara)

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
        # 2 has failed, 5 came too late, 14 is pending
        *((clara.id, 1, "user", 400), (clara.id, 1, "mint", -400)),
        *((clara.id, 6, "user", -200), (clara.id, 6, "sales", 200)),
        *((clara.id, 7, "user", 0), (clara.id, 7, "consumption", 0)),
        *((clara.id, 8, "user", 100), (clara.id, 8, "sales", -100)),  # a purchase is reversed
        *((clara.id, 9, "user", 0), (clara.id, 9, "grants", 0)),
        *((clara.id, 10, "user", 0), (clara.id, 10, "revocations", 0)),
        *((clara.id, 11, "user", -250), (clara.id, 11, "debits", 250)),
        *((clara.id, 12, "user", -400), (clara.id, 12, "mint", 400)),  # a top-up is reversed
        *((clara.id, 13, "user", 100), (clara.id, 13, "mint", -100)),
    ]
    balances = await world.sql('SELECT id, balance - debt FROM "user" ORDER BY id')
    assert [tuple(balance) for balance in balances] == [(anna, 200), (boris, 70), (clara.id, -250)]
    sums = await world.sql(
        """SELECT user_id, CAST(SUM(amount) AS BIGINT) FROM ledger_entry WHERE account = 'user'
        GROUP BY user_id ORDER BY user_id"""
    )
    assert sums == balances
