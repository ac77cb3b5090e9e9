"""What the clock owes, and when: one cheap question about everything it looks after.

Each answer comes from the first entry of an index, so the question costs the same whatever the
tables hold, and may be asked several times a second.
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Double, Select, func, literal, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from tasks.express import Express, Hot, execute
from tasks.lifecycle import Move, Status
from tasks.models import Schedule, ScheduleFire, Task, Worker, tally_deltas
from tasks.policies import FireOutcome


def _until(first: Select[Any]) -> ColumnElement[float]:
    """Seconds until this time; null when there is none."""
    ahead = func.extract("epoch", first.scalar_subquery() - func.now())
    return sql_cast(ahead, Double)


DUE = {  # what is owed → seconds until it is, below zero when it is late, null for never
    "dispatch_due": _until(select(func.min(Task.run_at)).where(Task.status == Status.SCHEDULED)),
    "fire_schedules": _until(
        select(func.min(Schedule.next_fire_at)).where(Schedule.next_fire_at.is_not(None))
    ),
    "release_waiting": select(literal(0.0))
    .where(select(ScheduleFire).where(ScheduleFire.outcome == FireOutcome.WAITING).exists())
    .scalar_subquery(),
    "expire": _until(
        select(func.min(Task.expires_at)).where(
            Task.expires_at.is_not(None), Task.status.in_(Move.EXPIRE.sources)
        )
    ),
    "rescue_silent": _until(select(func.min(Worker.expires_at))),
    "tally": select(literal(0.0)).where(select(tally_deltas.c.n).exists()).scalar_subquery(),
}


class Agenda(NamedTuple):
    """What PostgreSQL answered."""

    now: float  # its clock, in seconds
    due: dict[str, float]  # as in `DUE`; what is never owed is left out


LOOK = Hot(
    "look_at_agenda",
    select(sql_cast(func.extract("epoch", func.clock_timestamp()), Double), *DUE.values()),
)


def look(session: Session | Express) -> Agenda:
    """Ask for everything at once."""
    ((now, *ahead),) = execute(session, LOOK, {})
    due = {name: float(each) for name, each in zip(DUE, ahead, strict=True) if each is not None}
    return Agenda(now, due)
