"""Two sides are measured in moments that alternate, so that both see the same machine."""

from __future__ import annotations

from benchmarks.load import Answers
from benchmarks.scenarios.sides import rates


def test_moments_alternate_and_whoever_was_last_is_first() -> None:
    asked: list[str] = []

    def moment(side: str) -> Answers:
        asked.append(side)
        return Answers(answers=1, seconds=1)

    rates(["a", "b"], moment, moments=4)

    assert "".join(asked) == "baabbaab"


def test_a_rate_is_of_all_moments_together() -> None:
    moments = iter([Answers(answers=100, seconds=1), Answers(answers=100, seconds=4)])

    assert rates(["alone"], lambda _: next(moments), moments=2) == [40]
