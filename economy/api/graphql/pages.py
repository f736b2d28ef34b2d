"""Relay's PageInfo. https://relay.dev/graphql/connections.htm"""

from typing import Any

import strawberry

from economy.services.pages import Page


@strawberry.type(description="Where a page of a list stands.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether some came before.")
    start_cursor: str | None = strawberry.field(description="The first one's; null on no rows.")
    end_cursor: str | None = strawberry.field(
        description="The last one's: give it as `after` to go on; null on no rows."
    )

    @classmethod
    def of(cls, page: Page[Any]) -> "PageInfo":
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.cursors[0] if page.cursors else None,
            end_cursor=page.cursors[-1] if page.cursors else None,
        )
