"""The same network and work in each system; a module has a class `System` (see `worker.py`)."""
