"""Two sides are measured in moments that alternate, so that both see the same machine."""

from __future__ import annotations

from benchmarks.scenarios.sides import Amount, rates


def test_moments_alternate_and_whoever_was_last_is_first() -> None:
    asked: list[str] = []

    def moment(side: str) -> Amount:
        asked.append(side)
        return Amount(1, 1.0)

    rates(["a", "b"], moment, moments=4)

    assert "".join(asked) == "baabbaab"


def test_a_rate_is_of_all_moments_together() -> None:
    moments = iter([Amount(100, 1.0), Amount(100, 4.0)])

    assert rates(["alone"], lambda _: next(moments), moments=2) == [40]
