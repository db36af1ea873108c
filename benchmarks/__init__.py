"""What it costs: run each with ``python -m benchmarks.…`` in a checkout."""
