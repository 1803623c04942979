"""Where the server listens, and how it deals with connections."""

import socket

import python_multipart  # noqa: F401 — what reads forms; Starlette would miss it at the first request
import uvicorn
from starlette.types import ASGIApp

from crnn_jax import UserError

MOST_CONNECTIONS = 200


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address, which is free.

    Raises:
      UserError: it is not, or is no address of this machine.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port={port}: expected a number up to 65535; 0 finds a free one")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"--host={host} --port={port}: cannot listen there ({reason}), expected a free port "
            "of this machine, such as --port=8001"
        ) from error


def address(listener: socket.socket) -> str:
    """What to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def server(application: ASGIApp) -> uvicorn.Server:
    """A server that answers by an application until it is told to stop."""
    config = uvicorn.Config(
        application,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)
