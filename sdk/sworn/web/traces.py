"""The trace server: what `sworn.dispute` reads instead of demanding it on chain.

Nothing is listed: who does not know a trace root, or a result, finds nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sworn.codec.dispute_structs import encode_disclosure
from sworn.dispute.disclosure import is_of_trace, is_plausible, show
from sworn.errors import StoreError, TraceError
from sworn.model.trace_file import TraceFile
from sworn.types import Part, ResultId, Target
from sworn.web.ranges import RangeUnsatisfiable, slice_of
from sworn.web.throttle import DEFAULT_LIMIT, RateLimit, Throttle

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_NUMBER: Final = 2**32
_PIECE_BYTES: Final = 1 << 18


class TraceLibrary(Protocol):
    """The traces that an operator has, for any thread. Methods raise `TraceError` and `StoreError`."""

    def find(self, trace_root: bytes) -> TraceFile | None:
        """The trace with a root; None when it is not kept, or not any more."""
        ...

    def trace_root_of(self, result_id: ResultId) -> bytes | None:
        """The root of the trace that belongs to a result of this operator, as far as it is kept."""
        ...


def trace_app(
    library: TraceLibrary, *, limit: RateLimit = DEFAULT_LIMIT, clock: Callable[[], float] = time.monotonic
) -> Starlette:
    """The server as an ASGI application."""
    handlers = _Handlers(library)
    root = "/v1/traces/{root:str}"
    return Starlette(
        routes=[
            Route(root, handlers.summary),
            Route(f"{root}/values/{{value:str}}", handlers.value),
            Route(f"{root}/disclosures/{{part:str}}/{{value:str}}/{{level:str}}/{{index:str}}", handlers.disclosure),
            Route("/v1/results/{result:str}", handlers.result),
        ],
        middleware=[Middleware(Throttle, limit=limit, clock=clock)],
        exception_handlers={
            HTTPException: _refused,
            404: _refused,
            TraceError: _failed,
            StoreError: _failed,
        },
    )


class _Handlers:
    """One method per resource; plain functions, which Starlette runs in threads."""

    def __init__(self, library: TraceLibrary) -> None:
        self._library = library

    def summary(self, request: Request) -> Response:
        trace = self._trace(request)
        return JSONResponse(
            {
                "traceRoot": _hex(trace.trace_root),
                "values": len(trace.lengths),
                "dataRoots": [_hex(root) for root in trace.data_roots],
                "lengths": list(trace.lengths),
            }
        )

    def value(self, request: Request) -> Response:
        trace, value = self._trace(request), _number(request, "value")
        if value >= len(trace.lengths):
            raise HTTPException(404, f"the trace has {len(trace.lengths)} values")
        length = trace.lengths[value]
        try:
            wanted = slice_of(request.headers.get("range"), length)
        except RangeUnsatisfiable as error:
            headers = {"Content-Range": f"bytes */{length}"}
            raise HTTPException(416, f"the value has {length} bytes", headers=headers) from error
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(wanted.stop - wanted.start)}
        if wanted.partial:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{length}"
        return StreamingResponse(
            _pieces(trace, value, wanted.start, wanted.stop),
            status_code=206 if wanted.partial else 200,
            media_type="application/octet-stream",
            headers=headers,
        )

    def disclosure(self, request: Request) -> Response:
        trace, part = self._trace(request), _number(request, "part")
        if part not in list(Part) or not is_of_trace(Part(part)):
            raise HTTPException(400, "a part of a trace is 0 (values), 1 (nodes) or 2 (chunks)")
        target = Target(
            part=Part(part),
            value=_number(request, "value"),
            level=_number(request, "level"),
            index=_number(request, "index"),
        )
        if not is_plausible(target):
            raise HTTPException(400, "no trace can have this")
        return Response(encode_disclosure(show(trace, target)), media_type="application/octet-stream")

    def result(self, request: Request) -> Response:
        root = self._library.trace_root_of(ResultId(_hash(request, "result")))
        return JSONResponse({"traceRoot": None if root is None else _hex(root)})

    def _trace(self, request: Request) -> TraceFile:
        found = self._library.find(_hash(request, "root"))
        if found is None:
            raise HTTPException(404, "no trace with this root is kept, or not any more")
        return found


def _pieces(trace: TraceFile, value: int, start: int, stop: int) -> Iterator[bytes]:
    for place in range(start, stop, _PIECE_BYTES):
        yield trace.read(value, place, min(place + _PIECE_BYTES, stop))


def _hash(request: Request, name: str) -> bytes:
    text = request.path_params[name]
    if _HASH.fullmatch(text) is None:
        raise HTTPException(400, f"{name} is 64 lower-case hex digits without 0x")
    return bytes.fromhex(text)


def _number(request: Request, name: str) -> int:
    text = request.path_params[name]
    if _NUMBER.fullmatch(text) is None or int(text) >= _MAX_NUMBER:
        raise HTTPException(400, f"{name} is a decimal number of 32 bits")
    return int(text)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


_PHRASES: Final = {400: "bad request", 404: "not found", 405: "method not allowed", 416: "range not satisfiable"}


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "INVARIANT: registered for these only"  # noqa: S101
    body = {"error": _PHRASES.get(error.status_code, "refused"), "detail": error.detail}
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def _failed(request: Request, error: Exception) -> Response:
    # What went wrong inside names files: it is nobody else's business.
    body = {"error": "unavailable", "detail": f"{type(error).__name__}: the trace cannot be read just now"}
    return JSONResponse(body, status_code=503)
