"""A page that places orders, shows each change of them at once, and cancels them."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import anyio
from anyio.abc import ObjectReceiveStream
from attrs import evolve
from fastapi import Body, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from planet_async import (
    Conflict,
    InvalidRequest,
    NotFound,
    Notifications,
    Order,
    OrderRequest,
    Planet,
    PlanetError,
    Webhook,
    WebhookEndpoint,
)

PAGE = Path(__file__).with_name("page.html")
HEADERS = {"content-security-policy": "default-src 'self' 'unsafe-inline'; img-src data:"}
TOKEN = os.environ.get("WEBHOOK_TOKEN") or secrets.token_urlsafe()
PUBLIC_URL = os.environ.get("PUBLIC_URL")  # where Planet reaches this application; without it, no webhooks
STATUS = {NotFound: 404, Conflict: 409, InvalidRequest: 400}

planet = Planet()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close the client with the application."""
    async with planet:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/planet", WebhookEndpoint(planet, token=TOKEN))


@app.get("/")
async def page() -> FileResponse:
    """Return the page."""
    return FileResponse(PAGE, headers=HEADERS)


@app.get("/orders")
async def newest() -> list[Order]:
    """Return the newest orders."""
    return await planet.orders.list().collect(limit=20)


@app.post("/orders", status_code=201)
async def place(request: Annotated[OrderRequest, Body()]) -> Order:
    """Place an order, and have Planet call the webhook when it ends."""
    if PUBLIC_URL:
        webhook = Webhook(f"{PUBLIC_URL}/planet/{TOKEN}/orders", per_order=True)
        request = evolve(request, notifications=Notifications(webhook=webhook))
    return await planet.orders.create(request)


@app.post("/orders/{order_id}/cancel")
async def cancel(order_id: UUID) -> Order:
    """Cancel an order that is still queued."""
    order = await planet.orders.cancel(order_id)
    planet.orders.poll_now(order_id)  # all pages see it at once: Planet sends no notification of it
    return order


async def watched(
    order_id: Annotated[list[UUID], Query(max_length=20)],
) -> AsyncIterator[ObjectReceiveStream[ServerSentEvent]]:
    """Watch several orders on one connection: of these, a browser has six for all its tabs."""
    send, receive = anyio.create_memory_object_stream[ServerSentEvent]()

    async def watch(one: UUID) -> None:
        async with send.clone() as changes:
            try:
                async for order in planet.orders.watch(one):
                    await changes.send(ServerSentEvent(raw_data=order.to_json()))
            except PlanetError as error:
                await changes.send(ServerSentEvent(event="problem", data=str(error), retry=30_000))

    async with send, receive, anyio.create_task_group() as group:
        for one in {*order_id}:
            group.start_soon(watch, one)
        yield receive
        group.cancel_scope.cancel()


@app.get("/events", response_class=EventSourceResponse)
async def events(
    changes: Annotated[ObjectReceiveStream[ServerSentEvent], Depends(watched)],
) -> AsyncIterator[ServerSentEvent]:
    """Send each order as it is now, and again whenever it has changed, until all have ended."""
    async for change in changes:
        yield change


@app.exception_handler(PlanetError)
async def refuse(request: Request, error: PlanetError) -> JSONResponse:
    """Respond with what went wrong."""
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 502)
    return JSONResponse({"detail": str(error)}, status)
