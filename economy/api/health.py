"""Health and metrics: for machines that watch. No credential, no limit."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from economy import metrics
from economy.errors import Unavailable
from economy.services import Services

router = APIRouter(tags=["health"])


class Live(BaseModel):
    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """`degraded`: everything is answered, but without the cache. `draining`: everything is
    answered, and the server is about to end.

    `ledger` is what the last verification has found.
    """

    status: Literal["ok", "degraded", "draining", "unavailable"]
    database: Literal["ok", "unavailable"]
    cache: Literal["ok", "unavailable"]
    ledger: Literal["sound", "broken", "not verified"]


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Live:
    return Live()


@router.get(
    "/health/ready",
    summary="Can it answer?",
    responses={
        503: {
            "model": Ready,
            "description": "The database is out of reach, the server is about to end, or (if so "
            "configured) the ledger is broken.",
        }
    },
)
async def ready(request: Request, response: Response) -> Ready:
    services: Services = request.app.state.services
    is_database_healthy = await services.database.is_healthy()
    is_cache_healthy = await services.is_cache_healthy()
    ledger = await _ledger(services) if is_database_healthy else "not verified"
    is_refused = ledger == "broken" and services.settings.ready_needs_sound_ledger
    status: Literal["ok", "degraded", "draining", "unavailable"]
    if not is_database_healthy or is_refused:
        status = "unavailable"
    elif request.app.state.draining.is_under_way:
        status = "draining"
    else:
        status = "ok" if is_cache_healthy else "degraded"
    response.status_code = 200 if status in ("ok", "degraded") else 503
    return Ready(
        status=status,
        database="ok" if is_database_healthy else "unavailable",
        cache="ok" if is_cache_healthy else "unavailable",
        ledger=ledger,
    )


async def _ledger(services: Services) -> Literal["sound", "broken", "not verified"]:
    try:
        verification = await services.verification.newest()
    except Unavailable:
        verification = None
    if verification is None:
        return "not verified"
    return "broken" if verification.broken_invariants else "sound"


@router.get(
    "/metrics",
    name="metrics",
    summary="Prometheus metrics of all processes of this server",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def read_metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    await services.measurement.refresh()
    return Response(request.app.state.metrics.text(), media_type=metrics.CONTENT_TYPE)
