"""`make fuzz`: a million broken bodies, then every operation by every kind of caller."""

import os
import time

from fuzz import http, strict_json

BODIES = int(os.environ.get("FUZZ_BODIES", "1000000"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))  # per operation, phase and caller
SEED = int(os.environ.get("FUZZ_SEED", time.time_ns()))

strict_json.main(BODIES, SEED)
http.main(EXAMPLES)
