"""`python -m benchmarks.unprotected`: a worker that does nothing periodically.

It renews no lease, compares nothing with Redis, tells RQ's tools nothing of itself, stores no
progress. Only to measure what all of that costs.
"""

from __future__ import annotations

import os

from jobs import worker
from jobs.__main__ import main

FOREVER = 300.0  # seconds: longer than any measurement

worker.TEND_EVERY = worker.LOOK_ROUND_EVERY = FOREVER
os.environ["WORKER_LEASE"] = f"{4 * FOREVER}"

if __name__ == "__main__":
    main()
