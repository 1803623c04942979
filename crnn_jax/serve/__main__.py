"""The command line of the page: `python -m crnn_jax.serve --help`."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from crnn_jax import UserError, exit_status, user_path
from crnn_jax.arguments import Parser

NOTES = """\
examples:
  python -m crnn_jax.serve --workdir=runs/sum8
  curl -F file=@three.png -F file=@four.jpg http://127.0.0.1:8000/predict

docs/serve.md has more.
"""


def main(argv: Sequence[str]) -> int:
    """Serve a page as a command line, without the program's name, asks, until it is stopped.

    Returns:
      The exit status: 0, or 2 after one line on stderr about a mistake of the user.

    Raises:
      SystemExit: after --help (0).
    """
    return exit_status(_run, argv)


def _run(argv: Sequence[str]) -> None:
    parser = Parser(
        "python -m crnn_jax.serve",
        "Try a trained network on a page in your browser, or by POST /predict.",
        NOTES,
    )
    parser.add_argument("--workdir", metavar="RUN", required=True, help="folder of a run")
    parser.add_argument("--step", default="latest", help="number, best or latest (default)")
    parser.add_argument("--port", type=int, default=8000, help="8000 by default; 0 for a free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at; the default, 127.0.0.1, is reached from this machine alone",
    )
    given = parser.parse_args(argv)
    try:
        from crnn_jax.serve import listening
    except ImportError as error:
        raise UserError(
            f"the page needs Starlette, uvicorn and python-multipart ({error}): "
            "pip install 'crnn-jax[serve]'"
        ) from error
    with listening.listen(given.host, given.port) as listener:
        application = _application(given)
        print(f"open {listening.address(listener)}", flush=True)
        listening.server(application).run(sockets=[listener])


def _application(given: argparse.Namespace) -> Any:
    """The application, with the network ready to answer."""
    from crnn_jax.distributed import devices
    from crnn_jax.predict import Predictor
    from crnn_jax.runs.load import parse_step, restore
    from crnn_jax.serve import guard
    from crnn_jax.serve.service import Service, application

    workdir = user_path(given.workdir)
    which = parse_step(given.step)
    devices.keep_compiled_programs()
    predictor = Predictor(restore(workdir, which))
    predictor.warm_up()
    service = Service(predictor, workdir.resolve().name, devices.core_count())
    is_local = guard.local_only(given.host)
    return application(service, guard.local_only if is_local else guard.by_address)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it loads; uvicorn has its own way
    gc.set_threshold(10_000)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(sys.argv[1:]))
