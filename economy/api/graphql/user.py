"""Users: type, queries, creating and deleting one."""

from datetime import datetime
from typing import Annotated

import strawberry

from economy.api.graphql.context import Context, Info
from economy.api.graphql.errors import (
    AlreadyTakenError,
    InvalidInputError,
    UserNotFoundError,
    member_of,
)
from economy.api.graphql.inventory import InventoryItem, TypeFilter, load_inventory
from economy.api.graphql.scalars import Amount, TransactionKind, given, value_of
from economy.api.graphql.transaction import TransactionConnection
from economy.errors import EconomyError
from economy.models.user import UserRow
from economy.rate_limits import Act
from economy.services.access import authenticated, parse_id, require_may_read
from economy.services.user import HistoryPage


@strawberry.type(description="Somebody who holds coins and items.")
class User:
    id: strawberry.ID = strawberry.field(description="Stable for ever.")
    username: str = strawberry.field(description="Unique, whatever the case of its letters.")
    email: str | None = strawberry.field(
        description="Null unless asked by the user itself or by a server key that may read users."
    )
    balance: Amount = strawberry.field(description="The coins that the user holds.")
    debt: Amount = strawberry.field(
        description="Coins of reversed top-ups that were spent before: later credits repay it "
        "first. Above 0 only while the balance is 0."
    )
    created_at: datetime = strawberry.field(description="When the user was created.")
    deleted_at: datetime | None = strawberry.field(
        description="When the user was deleted; its name and e-mail are replaced since."
    )
    user_id: strawberry.Private[int]
    # of the row as it is now; None: the row is an answer of before
    seen_seq: strawberry.Private[int | None]

    @classmethod
    def of(cls, row: UserRow, context: Context, *, is_current: bool = False) -> "User":
        may_read = authenticated(context.actor).may_read(row.id)
        return cls(
            id=strawberry.ID(str(row.id)),
            username=row.username,
            email=row.email if may_read else None,
            balance=Amount(row.balance),
            debt=Amount(row.debt),
            created_at=row.created_at,
            deleted_at=row.deleted_at,
            user_id=row.id,
            seen_seq=row.last_seq if is_current else None,
        )

    @strawberry.field(description="What the user holds, in the order of first purchase.")
    async def inventory(
        self, info: Info, type_: TypeFilter = strawberry.UNSET
    ) -> list[InventoryItem] | None:
        require_may_read(info.context.actor, self.user_id)
        return await load_inventory(info, self.user_id, type_)

    @strawberry.field(description="The user's history, newest first.")
    async def transactions(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many at most, 1 to 100.")] = 50,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor of the last one seen.")
        ] = strawberry.UNSET,
        kind: Annotated[
            TransactionKind | None, strawberry.argument(description="Only of this kind.")
        ] = strawberry.UNSET,
    ) -> TransactionConnection | None:
        require_may_read(info.context.actor, self.user_id)
        page = HistoryPage(first, given(after), value_of(kind))
        return TransactionConnection.of(
            await info.context.loaders.histories.load((self.user_id, self.seen_seq, page))
        )


@strawberry.type
class UserQuery:
    @strawberry.field(description="The calling player; null for a server key.")
    async def me(self, info: Info) -> User | None:
        actor = authenticated(info.context.actor)
        if actor.user_id is None:
            return None
        await info.context.limits.take(Act.READ)
        row = await info.context.loaders.users.load(actor.user_id)
        return None if row is None else User.of(row, info.context, is_current=True)

    @strawberry.field(description="A user by id; null if there is none. A player sees itself only.")
    async def user(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The user's id.")],  # noqa: A002
    ) -> User | None:
        number = parse_id(id)
        require_may_read(info.context.actor, number)
        await info.context.limits.take(Act.READ)
        row = None if number is None else await info.context.loaders.users.load(number)
        return None if row is None else User.of(row, info.context, is_current=True)


@strawberry.input(description="A user to create.")
class CreateUserInput:
    username: str = strawberry.field(
        description="3 to 32 letters, digits, dots, dashes or underscores; unique."
    )
    email: str = strawberry.field(description="Unique.")


@strawberry.type(description="The user was created.")
class CreateUserSuccess:
    user: User = strawberry.field(description="The new user.")


CreateUserResult = Annotated[
    CreateUserSuccess | AlreadyTakenError | InvalidInputError,
    strawberry.union("CreateUserResult", description="What came of `createUser`."),
]


@strawberry.input(description="A user to delete.")
class DeleteUserInput:
    user_id: strawberry.ID = strawberry.field(description="Which user.")


@strawberry.type(description="The user is deleted.")
class DeleteUserSuccess:
    user: User = strawberry.field(description="What is left: id, balance, items and history.")


DeleteUserResult = Annotated[
    DeleteUserSuccess | UserNotFoundError,
    strawberry.union("DeleteUserResult", description="What came of `deleteUser`."),
]


@strawberry.type
class UserMutation:
    @strawberry.mutation(description="Create a user with no coins. Server key only.")
    async def create_user(
        self,
        info: Info,
        input: Annotated[CreateUserInput, strawberry.argument(description="The user.")],  # noqa: A002
    ) -> CreateUserResult | None:
        info.context.renew_loaders()
        try:
            row = await info.context.services.users.create_user(
                info.context.actor, username=input.username, email=input.email
            )
        except EconomyError as error:
            return member_of(error)
        return CreateUserSuccess(user=User.of(row, info.context))

    @strawberry.mutation(
        description="Delete a user: name and e-mail are forgotten and free again, the history "
        "stays. Again, it changes nothing. Server key only."
    )
    async def delete_user(
        self,
        info: Info,
        input: Annotated[DeleteUserInput, strawberry.argument(description="Whom.")],  # noqa: A002
    ) -> DeleteUserResult | None:
        info.context.renew_loaders()
        try:
            row = await info.context.services.users.delete_user(info.context.actor, input.user_id)
        except EconomyError as error:
            return member_of(error)
        return DeleteUserSuccess(user=User.of(row, info.context))
