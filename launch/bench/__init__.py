"""The benchmark: `python -m launch.bench`."""
