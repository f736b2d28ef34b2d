"""Transactions: the type and its pages."""

from datetime import datetime
from uuid import UUID

import strawberry

from economy.api.graphql.context import Info
from economy.api.graphql.pages import PageInfo
from economy.api.graphql.product import Product, load_product
from economy.api.graphql.scalars import Amount, ErrorCode, TransactionKind, TransactionStatus
from economy.models.transaction import TransactionRow
from economy.services.pages import Page


@strawberry.type(description="One business act, as the journal keeps it for ever.")
class Transaction:
    id: UUID = strawberry.field(description="Grows with time.")
    kind: TransactionKind = strawberry.field(description="What was done.")
    status: TransactionStatus = strawberry.field(description="How far it is.")
    quantity: int | None = strawberry.field(description="How many; null where no product is in it.")
    amount: Amount = strawberry.field(
        description="The coins that moved; of a failed one, what was attempted."
    )
    balance_after: Amount | None = strawberry.field(
        description="The balance right after it; null while it is pending."
    )
    failure_code: ErrorCode | None = strawberry.field(description="Why it failed.")
    created_at: datetime = strawberry.field(description="When it was asked for.")
    completed_at: datetime | None = strawberry.field(
        description="When it was completed or failed; null while it is pending."
    )
    debt_after: Amount | None = strawberry.field(
        description="What the user owed right after it; null while it is pending."
    )
    target_id: UUID | None = strawberry.field(
        description="Of a reversal, the transaction that it undoes; of a late settlement, the "
        "top-up; else null."
    )
    shortfall: Amount | None = strawberry.field(
        description="Of a completed reversal, the coins that were spent or used up before; else "
        "null."
    )
    product_id: strawberry.Private[int | None]

    @classmethod
    def of(cls, row: TransactionRow) -> "Transaction":
        return cls(
            id=row.id,
            kind=TransactionKind(row.kind),
            status=TransactionStatus(row.status),
            quantity=row.quantity,
            amount=Amount(row.amount),
            balance_after=None if row.balance_after is None else Amount(row.balance_after),
            failure_code=None if row.failure_code is None else ErrorCode(row.failure_code),
            created_at=row.created_at,
            completed_at=row.completed_at,
            debt_after=None if row.debt_after is None else Amount(row.debt_after),
            target_id=row.target_id,
            shortfall=None if row.shortfall is None else Amount(row.shortfall),
            product_id=row.product_id,
        )

    @strawberry.field(description="What was bought or used; null where no product is in it.")
    async def product(self, info: Info) -> Product | None:
        return None if self.product_id is None else await load_product(info, self.product_id)


@strawberry.type(description="A transaction and its place in the history.")
class TransactionEdge:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this one.")
    node: Transaction = strawberry.field(description="The transaction.")


@strawberry.type(description="A page of a user's history.")
class TransactionConnection:
    edges: list[TransactionEdge] = strawberry.field(description="With their cursors.")
    nodes: list[Transaction] = strawberry.field(description="The transactions alone.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: Page[TransactionRow]) -> "TransactionConnection":
        nodes = [Transaction.of(row) for row in page.rows]
        edges = [
            TransactionEdge(cursor=cursor, node=node)
            for cursor, node in zip(page.cursors, nodes, strict=True)
        ]
        return cls(edges=edges, nodes=nodes, page_info=PageInfo.of(page))
