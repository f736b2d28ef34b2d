"""What every resolver of one request shares: who asks, the services, the loaders."""

import strawberry

from economy.api.graphql.loaders import Loaders
from economy.api.limits import RequestLimits
from economy.services import Services
from economy.services.access import Actor


class Context:
    def __init__(self, services: Services, actor: Actor | None, limits: RequestLimits) -> None:
        self.services = services
        self.actor = actor
        self.limits = limits
        self.loaders = Loaders(services)

    def renew_loaders(self) -> None:
        """After a write: what was loaded before it is history."""
        self.loaders = Loaders(self.services)


Info = strawberry.Info[Context, None]
