"""The web application: the page, what it must know, and answers about files."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import QueryParams, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from crnn_jax import UserError
from crnn_jax.predict import Predictor
from crnn_jax.predict.answers import told
from crnn_jax.serve.about import about, shown_frames
from crnn_jax.serve.guard import Guard
from crnn_jax.serve.uploads import received, saved, without_folders

MOST_REQUESTS = 100
"""That wait for an answer at a time."""

SECONDS = 30
"""Until an answer must be there, once the files are."""

PAGE = Path(__file__).parent / "page"

OPTIONS = ("frames", "min_confidence", "split")


class Service:
    """Answers about files that are posted, a few at a time.

    Attributes:
      predictor: the network.
      about: see `about`.
    """

    def __init__(self, predictor: Predictor, name: str, threads: int) -> None:
        """Take a network, what people call it, and how many requests to answer at a time."""
        self.predictor = predictor
        self.about = about(predictor, name)
        self._pool = ThreadPoolExecutor(threads, "answers")
        self._waiting = 0

    async def describe(self, request: Request) -> Response:
        """GET /about: what the network takes and answers."""
        del request
        return JSONResponse(self.about)

    async def predict(self, request: Request) -> Response:
        """POST /predict: answer about the files of a form, as one sequence or clip."""
        options = _options(request.query_params)
        if self._waiting >= MOST_REQUESTS:
            busy = f"{MOST_REQUESTS} requests are being answered: try again in a second"
            raise HTTPException(503, busy, {"Retry-After": "1"})
        self._waiting += 1
        try:
            async with received(request) as files, asyncio.timeout(SECONDS):
                answering = (self._pool, self._answer, files, *options)
                found, status = await asyncio.get_running_loop().run_in_executor(*answering)
        except TimeoutError as error:
            raise HTTPException(503, f"the answer took longer than {SECONDS} s") from error
        finally:
            self._waiting -= 1
        return JSONResponse(found, status)

    def _answer(
        self, files: Sequence[UploadFile], split: bool, least: float | None, show: bool
    ) -> tuple[dict[str, Any], int]:
        """What is found, and the status."""
        frames, most = None, self.about["most"]
        with saved(files) as paths:
            try:
                if most is not None and len(paths) > most:
                    task: Any = self.predictor.restored.task
                    task.check_pictures(len(paths))
                frames, names = self.predictor.read_files(paths, split=split)
                found, status = told(self.predictor.answer(frames, names), least), 200
            except UserError as error:
                found, status = {"error": without_folders(str(error), paths)}, 400
        shown = {"frames": shown_frames(frames)} if show and frames is not None else {}
        return {**found, **shown}, status


def _options(params: QueryParams) -> tuple[bool, float | None, bool]:
    """Whether to split, the least confidence, and whether to show frames."""
    for name in params:
        if name not in OPTIONS:
            raise HTTPException(
                400, f"unknown option {name[:100]!r}: expected {', '.join(OPTIONS)}"
            )
    least = params.get("min_confidence")
    try:
        share = None if least is None else float(least)
    except ValueError:
        share = -1.0
    if share is not None and not 0 <= share <= 1:
        raise HTTPException(400, f"min_confidence={least}: expected a share from 0 to 1, as in 0.9")
    return _switch(params, "split"), share, _switch(params, "frames")


def _switch(params: QueryParams, name: str) -> bool:
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise HTTPException(400, f"{name}={value[:100]}: expected true or false")
    return value == "true"


def application(service: Service, is_ours: Callable[[str], bool]) -> ASGIApp:
    """The web application of a service.

    Args:
      service: what answers.
      is_ours: see `Guard`.
    """
    answering = Starlette(
        routes=[
            Route("/about", service.describe),
            Route("/predict", service.predict, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        exception_handlers={
            HTTPException: _error,
            ClientDisconnect: _gone,
            Exception: _unexpected,
        },
    )
    return Guard(answering, is_ours)


async def _error(request: Request, error: Any) -> Response:
    del request
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _gone(request: Request, error: Any) -> Response:
    """Nobody is there to read it."""
    del request, error
    return Response(status_code=400)


async def _unexpected(request: Request, error: Any) -> Response:
    """A fault of this program, whose trace the server prints."""
    del request, error
    return JSONResponse({"error": "the server failed: its terminal says why"}, 500)
