"""Changes to what Schemathesis sends."""

from contextlib import suppress
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Do not wait long for tasks that nobody runs here."""
    if case.query and "wait" in case.query:
        with suppress(TypeError, ValueError):
            if 0 < float(case.query["wait"]) <= 60:
                case.query["wait"] = 0.1
