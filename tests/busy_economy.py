"""An economy in which everything has happened, for verifications; and one without constraints."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from economy.errors import Decline
from economy.models.user import UserRow
from economy.services.operations import Booking, IfSpent
from tests.world import SERVER, World

# the first ids of a fresh database
ANNA, BORIS, CLARA, DORA = 1, 2, 3, 4
BOOST, PREMIUM = 1, 2
NOBODY = 99


async def make_busy(world: World) -> None:
    """Completed and declined operations of each kind; Boris ends with nothing."""
    assert (world.anna.id, world.boris.id) == (ANNA, BORIS)
    assert (world.boost.id, world.premium.id) == (BOOST, PREMIUM)
    await world.credit(world.anna, 1000, external_reference="order-1", idempotency_key="a-1")
    await world.buy(world.anna, world.boost, quantity=3)
    await world.use(world.anna, world.boost)
    await world.buy(world.anna, world.premium)
    with contextlib.suppress(Decline):  # already owned
        await world.buy(world.anna, world.premium)
    with contextlib.suppress(Decline):  # costs more than what is left
        await world.buy(world.anna, world.boost, quantity=3)
    await world.credit(world.anna, 1000, external_reference="order-1", idempotency_key="a-1")

    await world.credit(world.boris, 100, idempotency_key="b-1")
    with contextlib.suppress(Decline):  # taken
        await world.credit(world.boris, 100, external_reference="order-1", idempotency_key="b-2")
    with contextlib.suppress(Decline):  # has none
        await world.use(world.boris, world.boost)
    await world.buy(world.boris, world.boost)
    await world.use(world.boris, world.boost)
    clara = await create(world, "clara", CLARA)
    await live_a_life(world, clara)
    dora = await create(world, "dora", DORA)
    await world.credit(dora, 10)
    await world.services.users.delete_user(SERVER, str(DORA))


async def create(world: World, name: str, user_id: int) -> UserRow:
    email = f"{name}@example.com"
    user = await world.services.users.create_user(SERVER, username=name, email=email)
    assert user.id == user_id
    return user


async def live_a_life(world: World, user: UserRow) -> None:
    """Fourteen numbers, of which two, 3 and 4, are ends of pending top-ups; a debt remains."""
    paid = await begin(world, user, 400, "pay-1")  # 1
    unpaid = await begin(world, user, 50, "pay-2")  # 2
    await settle(world, user, paid, "complete")  # 3
    await settle(world, user, unpaid, "fail")  # 4
    with contextlib.suppress(Decline):
        await settle(world, user, unpaid, "complete")  # 5: too late
    bought = await world.buy(user, world.boost, quantity=2)  # 6
    await world.use(user, world.boost)  # 7
    await reverse(world, user, bought.transaction.id)  # 8: half of it
    grants, items = world.services.grants, {"user_id": str(user.id), "quantity": 1}
    items |= {"product_id": str(world.premium.id)}
    await grants.grant(SERVER, **items, idempotency_key="g-1")  # type: ignore[arg-type]  # 9
    await grants.revoke(SERVER, **items, idempotency_key="g-2")  # type: ignore[arg-type]  # 10
    await world.services.wallet.debit_funds(  # 11
        SERVER, user_id=str(user.id), amount=250, idempotency_key="d-1"
    )
    await reverse(world, user, paid)  # 12: 50 are left of 400
    await world.credit(user, 100)  # 13: repays
    await begin(world, user, 30, "pay-3")  # 14


async def begin(world: World, user: UserRow, amount: int, reference: str) -> UUID:
    booking = await world.services.top_ups.begin(
        SERVER,
        user_id=str(user.id),
        amount=amount,
        external_reference=reference,
        idempotency_key=reference,
    )
    return booking.transaction.id


async def settle(world: World, user: UserRow, transaction_id: UUID, how: str) -> Booking:
    top_ups = world.services.top_ups
    end = {"complete": top_ups.complete, "fail": top_ups.fail}[how]
    return await end(SERVER, user_id=str(user.id), transaction_id=transaction_id)


async def reverse(world: World, user: UserRow, transaction_id: UUID) -> Booking:
    return await world.services.reversals.reverse(
        SERVER,
        user_id=str(user.id),
        transaction_id=transaction_id,
        if_spent=IfSpent.TAKE_WHAT_IS_LEFT,
        idempotency_key=f"undo-{transaction_id}",
    )


@asynccontextmanager
async def without_constraints(world: World) -> AsyncIterator[None]:
    """No constraint holds any longer, and the journal's triggers only again afterwards."""
    triggers = await drop_constraints(world)
    yield
    for trigger in triggers:
        await world.sql(trigger)


async def drop_constraints(world: World) -> list[str]:
    """The triggers are gone too. Returns the statements that bring them back."""
    if world.services.database.dialect == "sqlite":
        return await strip_sqlite(world)
    await world.sql(
        """DO $$ DECLARE found record; BEGIN
        FOR found IN SELECT CAST(conrelid AS regclass) AS name, conname FROM pg_constraint
            WHERE connamespace = CAST('public' AS regnamespace) AND contype IN ('c', 'f', 'u')
            ORDER BY contype = 'u'
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.name, found.conname);
        END LOOP; END $$"""
    )
    await world.sql("ALTER TABLE inventory DROP CONSTRAINT pk_inventory")
    for index in ("uq_transaction_reversal", "uq_transaction_settled_seq"):
        await world.sql(f"DROP INDEX {index}")
    for column in ("hash", "request_hash", "actor", "created_at"):
        await world.sql(f'ALTER TABLE "transaction" ALTER COLUMN {column} DROP NOT NULL')
    await world.sql('ALTER TABLE "transaction" DISABLE TRIGGER USER')
    return ['ALTER TABLE "transaction" ENABLE TRIGGER USER']


async def strip_sqlite(world: World) -> list[str]:
    """SQLite cannot drop a constraint: each table is replaced by a copy, which has none."""
    made = await world.sql("SELECT type, sql FROM sqlite_master WHERE type IN ('view', 'trigger')")
    await world.sql("DROP VIEW ledger_entry")
    for table in ("transaction", "inventory", "purchase_hour", "user", "product", "claim"):
        await world.sql(f'CREATE TABLE copy AS SELECT * FROM "{table}"')
        await world.sql(f'DROP TABLE "{table}"')
        await world.sql(f'ALTER TABLE copy RENAME TO "{table}"')
    await world.sql(next(sql for type_, sql in made if type_ == "view"))
    return [sql for type_, sql in made if type_ == "trigger"]
