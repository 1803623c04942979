"""The benchmark on a GPU: `make bench-gpu`, or `python -m benchmarks.gpu --help`."""
