"""A server in a thread, of a network of random parameters, and pictures to post."""

import contextlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from crnn_jax.config import default
from crnn_jax.predict import Predictor
from crnn_jax.serve import listening
from crnn_jax.serve.guard import local_only
from crnn_jax.serve.service import Service, application
from tests.networks import asking, digits, restored


def sum_predictor() -> Predictor:
    """Of a small network that adds up to four digits."""
    config = asking(default())
    config.model.convs, config.model.gru_units = (), (6,)
    return Predictor(restored(config, digits(), seed=2, scale=0.8))


@contextlib.contextmanager
def serving(predictor: Any) -> Iterator[str]:
    """Serves a network; gives the address."""
    service = Service(predictor, "a run", threads=2)
    with listening.listen("127.0.0.1", 0) as listener:
        server = listening.server(application(service, local_only))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listening.address(listener)
        finally:
            server.should_exit = True
            thread.join()


def png(array: np.ndarray) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()
