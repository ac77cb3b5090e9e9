"""Bodies of more values than anybody means are refused at once: to explain each would take long."""

from typing import Any

MOST = 20_000  # values of which what is wrong is explained one by one
TOO_MANY = f"Not valid; with more than {MOST} values it is not told where."


def size(value: Any, most: int = MOST) -> int:
    """How many values this JSON holds; counted no further than to just above `most`."""
    found, waiting = 0, [value]
    while waiting and found <= most:
        each = waiting.pop()
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        found += len(inner)
        waiting += inner
    return found


def is_crowded(value: Any, most: int = MOST) -> bool:
    return size(value, most) > most
