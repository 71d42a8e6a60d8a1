"""Performance beside a raw limit, as ratios in one run: `python -m benchmarks`."""
