"""What dapp developers and operators call. `AsyncClient` is written; `Client` is generated from it."""

from __future__ import annotations

from sworn.client.async_client import AsyncClient
from sworn.client.async_disputes import AsyncDisputeHandle
from sworn.client.async_requests import AsyncRequestHandle
from sworn.client.client import Client
from sworn.client.dispute_records import (
    BondPreview,
    ChallengerRecord,
    Deadline,
    DemandRecord,
    DisputeRecord,
    DisputeReport,
    Happening,
    Party,
)
from sworn.client.disputes import DisputeHandle
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
from sworn.client.track_records import Announcement, TrackRecord
from sworn.client.verdicts import Difference, Verdict, Verification

__all__ = [
    "Announcement",
    "AsyncClient",
    "AsyncDisputeHandle",
    "AsyncRequestHandle",
    "BondPreview",
    "Cause",
    "ChallengerRecord",
    "Client",
    "Cursor",
    "Deadline",
    "DemandRecord",
    "Difference",
    "DisputeHandle",
    "DisputeRecord",
    "DisputeReport",
    "Event",
    "Happening",
    "InferenceResult",
    "ModelRecord",
    "Obstacle",
    "OperatorAccount",
    "OperatorOffer",
    "Party",
    "Quote",
    "RequestHandle",
    "RequestReport",
    "Rewound",
    "TrackRecord",
    "Verdict",
    "Verification",
]
