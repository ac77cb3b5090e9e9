"""Whatever happens to schedulers, servers and clocks, each tick fires once."""

from __future__ import annotations

import pytest

from tests.stories import exactly_once


@pytest.mark.timeout(300)
def test_each_tick_fires_once() -> None:
    story = exactly_once.tell(1000, schedules_at_once=50, worker=False)

    assert (story.lost, story.doubled, story.unexpected) == (0, 0, 0), story
    assert story.fired == story.ticks > 900
    assert len(story.faults) == 4
