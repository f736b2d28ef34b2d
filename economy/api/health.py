"""Health and metrics: for machines that watch. No credential, no limit."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from economy import metrics
from economy.services import Services

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """`degraded`: everything is answered, but without the cache."""

    status: Literal["ok", "degraded", "unavailable"]
    database: Literal["ok", "unavailable"]
    cache: Literal["ok", "unavailable"]


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Live:
    return Live()


@router.get(
    "/health/ready",
    summary="Can it answer?",
    responses={503: {"model": Ready, "description": "The database is out of reach."}},
)
async def ready(request: Request, response: Response) -> Ready:
    services: Services = request.app.state.services
    is_database_healthy = await services.database.is_healthy()
    is_cache_healthy = await services.is_cache_healthy()
    response.status_code = 200 if is_database_healthy else 503
    status: Literal["ok", "degraded"] = "ok" if is_cache_healthy else "degraded"
    return Ready(
        status=status if is_database_healthy else "unavailable",
        database="ok" if is_database_healthy else "unavailable",
        cache="ok" if is_cache_healthy else "unavailable",
    )


@router.get(
    "/metrics",
    summary="Prometheus metrics of this process",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def read_metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.text(), media_type=metrics.CONTENT_TYPE)
