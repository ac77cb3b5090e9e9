"""What is wrong with the rule of a schedule, in sentences."""

from collections import defaultdict
from datetime import datetime, timedelta
from difflib import get_close_matches

from cronsim import CronSim, CronSimError

from tasks import recurrence, zones
from tasks.recurrence import NICKNAMES, Rule

LONGEST_CRON = 200
SHORTEST_EVERY, LONGEST_EVERY = timedelta(seconds=1), timedelta(days=3660)

Objections = dict[str, list[str]]  # field → sentences


def to_rule(rule: Rule) -> Objections:
    """What makes this no rule at all."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    given = [name for name in ("cron", "every", "at") if getattr(rule, name) is not None]
    if len(given) != 1:
        names = f"not {' and '.join(given)}" if given else "there is none of them"
        found[given[-1] if given else "cron"].append(f"Give one of cron, every and at; {names}.")
    if rule.cron is not None and (wrong := to_cron(rule.cron)):
        found["cron"].append(wrong)
    if rule.every is not None and not SHORTEST_EVERY <= rule.every <= LONGEST_EVERY:
        found["every"].append("Give at least 1 second and at most ten years, in seconds.")
    if rule.timezone not in zones.names():
        found["timezone"].append(_unknown_zone(rule.timezone))
    for name in ("at", "starts_at", "ends_at"):
        moment: datetime | None = getattr(rule, name)
        if moment is not None and moment.utcoffset() is None:
            found[name].append("Give the time with its offset from UTC, such as …T06:00:00Z.")
    if not found and rule.starts_at and rule.ends_at and rule.starts_at >= rule.ends_at:
        found["ends_at"].append("It must be later than starts_at.")
    return dict(found)


def to_future(rule: Rule, now: datetime) -> Objections:
    """What makes a sound rule pointless from now on."""
    if recurrence.next_after(rule, now) is not None:
        return {}
    if rule.at is not None:
        return {"at": [f"It would never fire: {rule.at.isoformat()} is not in the future."]}
    return {
        "ends_at" if rule.ends_at else "cron": [
            "It would never fire: there is no such time before ends_at."
            if rule.ends_at
            else "It would never fire: no day matches this expression."
        ]
    }


def to_cron(expression: str) -> str | None:
    """The sentence that says what is wrong with a cron expression; None if nothing is."""
    if len(expression) > LONGEST_CRON:
        return f"A cron expression has at most {LONGEST_CRON} characters."
    if expression.strip().startswith("@"):
        if expression.strip().lower() in NICKNAMES:
            return None
        return f"Unknown nickname {expression!r}; known are {', '.join(NICKNAMES)}."
    fields = expression.split()
    if len(fields) not in (5, 6):
        return (
            "A cron expression has five fields (minute, hour, day of month, month, day of week), "
            f"or six with seconds first; {expression!r} has {len(fields)}."
        )
    try:
        CronSim(expression, recurrence.EPOCH.replace(tzinfo=None))
    except CronSimError as error:
        if _exists_in_some_month(fields):
            return f"It would never fire: no month named in {expression!r} has such a day."
        return f"Wrong {_field(error)} in the cron expression {expression!r}."
    return None


def _exists_in_some_month(fields: list[str]) -> bool:
    """Whether the expression is sound but for its months."""
    try:
        CronSim(" ".join([*fields[:-2], "*", fields[-1]]), recurrence.EPOCH.replace(tzinfo=None))
        CronSim(f"0 0 1 {fields[-2]} *", recurrence.EPOCH.replace(tzinfo=None))
    except CronSimError:
        return False
    return True


def _field(error: CronSimError) -> str:
    return str(error).removeprefix("Bad ").replace("-", " ")


def _unknown_zone(name: str) -> str:
    known = {each.lower(): each for each in zones.names()}
    close = get_close_matches(name.lower(), known, n=1)
    hint = f" Did you mean {known[close[0]]!r}?" if close else ""
    return f"There is no time zone {name!r}.{hint} Give an IANA name, such as 'Europe/Paris'."
