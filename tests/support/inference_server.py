"""A server that speaks the Open Inference Protocol, honestly or not, with one model that doubles its input."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from sworn.web.server import serving

#: What a server may do instead of answering.
Reply = Response | None


@dataclass(kw_only=True)
class InferenceServer:
    """One model under /v2/models/double; its fields are what it does."""

    binary: bool = True
    versions: list[str] = field(default_factory=lambda: ["1"])
    answers_as: str | None = None
    shape: list[int] = field(default_factory=lambda: [-1])
    datatype: str = "FP32"
    #: Status codes for the next runs, each with its Retry-After.
    refusals: list[tuple[int, str | None]] = field(default_factory=list)
    #: "slow", "drip", "huge", "compressed", "wrong shape", "nan", "moved", "silent".
    manner: str = ""
    authorization: str | None = None
    #: Runs that arrived, the binary ones, and those that were under way at once.
    runs: int = 0
    binary_runs: int = 0
    at_once: int = 0
    _under_way: int = 0

    @property
    def app(self) -> Starlette:
        """As uvicorn takes it."""
        model = "/v2/models/double"
        return Starlette(
            routes=[
                Route("/v2", self._server),
                Route(model, self._metadata),
                Route(model + "/versions/{version}", self._metadata),
                Route(model + "/infer", self._infer, methods=["POST"]),
                Route(model + "/versions/{version}/infer", self._infer, methods=["POST"]),
            ]
        )

    async def _server(self, request: Request) -> Response:
        extensions = ["binary_tensor_data"] if self.binary else []
        return JSONResponse({"name": "fake", "version": "1", "extensions": extensions})

    async def _metadata(self, request: Request) -> Response:
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            return JSONResponse({"error": "no"}, status_code=401)
        tensor = {"datatype": self.datatype, "shape": self.shape}
        return JSONResponse(
            {
                "name": "double",
                "versions": self.versions,
                "platform": "test",
                "inputs": [{**tensor, "name": "x"}],
                "outputs": [{**tensor, "name": "y"}],
            }
        )

    async def _infer(self, request: Request) -> Response:
        self.runs += 1
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            return await self._answer(request)
        finally:
            self._under_way -= 1

    async def _answer(self, request: Request) -> Response:
        if self.refusals:
            status, after = self.refusals.pop(0)
            headers = {} if after is None else {"Retry-After": after}
            return JSONResponse({"error": "not now"}, status_code=status, headers=headers)
        if self.manner == "moved":
            return RedirectResponse("http://127.0.0.1:1/", status_code=307)
        if self.manner == "slow":
            await asyncio.sleep(1.5)
        if self.manner == "drip":
            return StreamingResponse(_drops())
        if self.manner == "huge":
            return Response(b" " * (1 << 20))
        body = await request.body()
        return self._doubled(body, request.headers.get("inference-header-content-length"))

    def _doubled(self, body: bytes, json_bytes: str | None) -> Response:
        head = json.loads(body if json_bytes is None else body[: int(json_bytes)])
        (entry,) = head["inputs"]
        if json_bytes is None:
            values = entry["data"]
        else:
            self.binary_runs += 1
            values = list(struct.unpack(f"<{entry['shape'][0]}f", body[int(json_bytes) :]))
        doubled = [float("nan")] * len(values) if self.manner == "nan" else [2 * value for value in values]
        output: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": entry["shape"]}
        if self.manner == "wrong shape":
            output["shape"] = [len(doubled), 1]
        answer: dict[str, Any] = {"model_name": "double", "model_version": self.answers_as or self.versions[0]}
        headers = {"Content-Encoding": "gzip"} if self.manner == "compressed" else {}
        if json_bytes is None:
            document = {**answer, "outputs": [{**output, "data": doubled}]}
            return Response(json.dumps(document), media_type="application/json", headers=headers)
        data = struct.pack(f"<{len(doubled)}f", *doubled)
        document = {**answer, "outputs": [{**output, "parameters": {"binary_data_size": len(data)}}]}
        encoded = json.dumps(document).encode()
        return Response(encoded + data, headers={**headers, "Inference-Header-Content-Length": str(len(encoded))})


async def _drops() -> AsyncIterator[bytes]:
    for _ in range(200):
        yield b" "
        await asyncio.sleep(0.05)


@contextmanager
def served(server: InferenceServer) -> Iterator[str]:
    """Runs a server; gives the URL of its model."""
    with serving(server.app, host="127.0.0.1", port=0) as (host, port):
        yield f"http://{host}:{port}/v2/models/double"
