"""What dapp developers and operators call. `AsyncClient` is written; `Client` is generated from it."""

from __future__ import annotations

from sworn.client.async_client import AsyncClient
from sworn.client.async_requests import AsyncRequestHandle
from sworn.client.client import Client
from sworn.client.records import (
    Cause,
    Cursor,
    Event,
    InferenceResult,
    ModelRecord,
    Obstacle,
    OperatorAccount,
    OperatorOffer,
    Quote,
    RequestReport,
    Rewound,
)
from sworn.client.requests import RequestHandle

__all__ = [
    "AsyncClient",
    "AsyncRequestHandle",
    "Cause",
    "Client",
    "Cursor",
    "Event",
    "InferenceResult",
    "ModelRecord",
    "Obstacle",
    "OperatorAccount",
    "OperatorOffer",
    "Quote",
    "RequestHandle",
    "RequestReport",
    "Rewound",
]
