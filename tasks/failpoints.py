"""Places where a test can make a process fail: named steps of what the guarantee depends on.

Nothing in the service sets `reached`, no setting does, and while it is None a step costs one
comparison. The tests that prove the guarantee set it in processes of their own.
"""

from collections.abc import Callable

reached: Callable[[str, str], None] | None = None


def reach(step: str, moment: str) -> None:
    """This process has come to this moment of a step: "before" or "after"."""
    if reached is not None:
        reached(step, moment)
