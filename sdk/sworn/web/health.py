"""Health and metrics over HTTP: what is known already, so that no request ever waits for the daemon."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sworn.watcher.status import NodeStatus, plain_components
from sworn.web.metrics import PrometheusTelemetry

_INDEX = """/healthz  200 while the loop turns
/readyz   200 while every part does its work; which does not, and what to do
/status   parts and figures as JSON
/metrics  the same for Prometheus
"""


def health_app(status: Callable[[], NodeStatus], telemetry: PrometheusTelemetry) -> Starlette:
    """The server as an ASGI application. ``status`` must not wait for anything."""

    async def index(request: Request) -> Response:
        return PlainTextResponse(_INDEX)

    async def alive(request: Request) -> Response:
        now = status()
        return JSONResponse({"alive": now.alive}, status_code=200 if now.alive else 503)

    async def ready(request: Request) -> Response:
        now = status()
        body = {"ready": now.ready, "alive": now.alive, "components": plain_components(now.components)}
        return JSONResponse(body, status_code=200 if now.ready else 503)

    async def whole(request: Request) -> Response:
        return JSONResponse(status().plain())

    async def metrics(request: Request) -> Response:
        body, media_type = telemetry.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": media_type})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/healthz", alive),
            Route("/readyz", ready),
            Route("/status", whole),
            Route("/metrics", metrics),
        ]
    )
