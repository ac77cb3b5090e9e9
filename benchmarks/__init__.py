"""How fast the service is, what it costs, and how that compares: `python -m benchmarks`."""
