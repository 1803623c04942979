"""A page and an endpoint on this machine that answer with a trained network.

`python -m crnn_jax.serve --workdir=RUN`. The page (`page/`) is plain HTML, CSS and JavaScript; it
asks what the network takes (`about.py`) and posts pictures to `/predict`. A request passes the
guard (`guard.py`), its files are received within limits (`uploads.py`), and a few threads answer
them as `--mode=predict` does (`service.py`). Needs the extra `serve`.
"""
