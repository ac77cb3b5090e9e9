"""Whatever happens in whatever order, every task is where the guarantee says, after every step.

Hypothesis draws the orders: what clients ask, what workers and schedulers do, when they die, fall
silent or say their words late, what happens to Redis, how time passes. All of it goes through the
service's own code to a real PostgreSQL and a real Redis; a model of a few rules says what ought to
come of it. At the end of each order everybody is well again, and everything has to come to its end.

What is drawn depends on nothing that was answered, so that an order can be repeated, and shortened.
`ORDERS=100 pytest tests/guarantee/test_any_order_of_events.py` tries ten times as many others.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    get_state_machine_test,
    initialize,
    invariant,
    precondition,
    rule,
)
from redis.exceptions import RedisError

from chaos.remains import leftovers
from jobs.settling import Outbox
from tasks import actions, catalog, stats, store
from tasks.actions import Once, Submission
from tasks.broker import Broker
from tasks.database import Sessions, sessions
from tasks.errors import DatabaseUnavailable, IdempotencyKeyReused, MoveRefused
from tasks.lifecycle import FINISHED, Priority, Status
from tasks.store import Started
from tests.emptying import Emptying
from tests.guarantee import mischief
from tests.guarantee.by_hand import KIND, Died, Hand, Timekeeper, mishaps, word
from tests.guarantee.elapsing import elapse
from tests.guarantee.model import LEASE, Claim, How, Model, Moment

ORDERS = int(os.environ.get("ORDERS", "0"))
HOUR = 3600.0
ROUNDS = 25  # in which everything has to come to its end
ANNOUNCED = ("dispatch_due", "expire", "rescue_silent", "tally")
DUTIES = (
    *ANNOUNCED, "rescue_orphans", "forget_idempotency_keys", "requeue_lost", "requeue_popped",
    "requeue_overtaken", "remove_leftovers", "tidy_registries",
)  # fmt: skip

TASKS = "SELECT id::text, tasks::text FROM tasks ORDER BY id"
LIVES = """
    SELECT id::text, status, attempt, worker_id, failures, crashes, result, progress,
           run_at IS NOT NULL, finished_at IS NOT NULL FROM tasks ORDER BY id
"""
ATTEMPTS = "SELECT task_id::text, number, worker_id, outcome FROM attempts ORDER BY task_id, number"
CHANGES = """
    SELECT from_status, to_status, sum(n)::int FROM (
        SELECT from_status, to_status, n FROM tallies
        UNION ALL SELECT from_status, to_status, n FROM tally_deltas
    ) AS every GROUP BY 1, 2
"""

WORKERS = "SELECT id FROM workers"

Mishap = tuple[str, str, str]  # step, moment, what goes wrong there
NOTHING: Mishap = ("", "", "")
ANSWER_LOST, DIES = "answer lost", "dies"

HARMS = ["save", "restore", "flush", "lose_place", *mischief.HARMS]

which = st.integers(0, 7)  # of all tasks, or of all words, so far
slots = st.integers(0, 1)
hows = st.sampled_from(How)
mishaps_of_taking = st.sampled_from(
    [
        NOTHING,
        ("pop", "after", DIES),
        ("pop", "after", ANSWER_LOST),
        ("start", "before", DIES),
        ("start", "before", ANSWER_LOST),
        ("start", "after", DIES),
        ("start", "after", ANSWER_LOST),
        ("start", "after", ANSWER_LOST),
    ]
)
mishaps_of_settling = st.sampled_from(
    [
        NOTHING,
        ("settle", "before", DIES),
        ("settle", "before", ANSWER_LOST),
        ("settle", "after", DIES),
        ("settle", "after", ANSWER_LOST),
        ("mirror", "before", DIES),
        ("mirror", "after", ANSWER_LOST),
    ]
)


shift = st.tuples(
    slots,
    st.integers(0, 3),
    st.just(NOTHING) | mishaps_of_taking,
    st.lists(hows, max_size=3),
    st.just(NOTHING) | mishaps_of_settling,
)


@dataclass
class World:
    """The servers, as the suite has them."""

    emptying: Emptying
    broker: Broker
    rows: psycopg2.extensions.connection

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.rows, self.rows.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()


class AnyOrder(RuleBasedStateMachine):
    """Two workers, two schedulers, some tasks; and what ought to be."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.redis = world, world.broker.redis
        world.emptying.empty()
        self.redis.flushall()
        self.model = Model()
        self.passed = 0.0  # seconds that nobody waited for
        self.ids: list[UUID] = []  # in the order of their submission
        self.words: dict[Claim, Started] = {}  # everything that a worker ever knew to be started
        self.dump: list[mischief.Kept] = []
        self.is_bare = False  # Redis has forgotten everything, and nothing else is wrong with it
        self.old: set[UUID] = set()  # pending since before time last passed
        self.hands = [self.a_hand(), self.a_hand()]
        self.keepers = [Timekeeper(world.broker), Timekeeper(world.broker)]

    # -- clients --------------------------------------------------------------------------------

    @initialize(count=st.integers(2, 5))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.submit(0.0, None, 1, "default", Priority.NORMAL)

    @precondition(lambda self: len(self.ids) < 8)
    @rule(
        delay=st.sampled_from([0.0, 0.0, 60.0, 180.0]),
        expires=st.sampled_from([None, None, 120.0, 240.0]),
        max_retries=st.integers(0, 2),
        queue_name=st.sampled_from(["default", "other"]),
        priority=st.sampled_from([Priority.NORMAL, Priority.HIGH]),
    )
    def submit(
        self,
        delay: float,
        expires: float | None,
        max_retries: int,
        queue_name: str,
        priority: Priority,
    ) -> None:
        with self.moment() as now:
            task = actions.submit(
                Submission(
                    name=KIND,
                    delay=delay or None,
                    expires_at=expires and datetime.now(UTC) + timedelta(seconds=expires),
                    max_retries=max_retries,
                    queue_name=queue_name,
                    priority=priority,
                )
            )
        due = now().plus(delay) if delay else None
        self.model.submitted(task.id, max_retries, due, now().plus(expires) if expires else None)
        self.ids.append(task.id)

    @precondition(lambda self: len(self.ids) < 8)
    @rule(key=st.sampled_from("ab"), body=st.sampled_from(["this", "this", "that"]))
    def submit_with_key(self, key: str, body: str) -> None:
        submission = Submission(name=KIND, payload={"value": body}, max_retries=1)
        with self.moment() as now:
            try:
                answer = actions.submit_once([submission], Once(key, body.encode()))
            except IdempotencyKeyReused:
                answer = None
        known = self.model.remembered(key, now())
        if known and known[0] != body:
            assert answer is None, "a key was used for two bodies"
        elif known:
            assert answer is not None
            assert (answer.ids, answer.replayed) == ([known[1]], True)
        else:
            assert answer is not None and not answer.replayed
            self.model.submitted(answer.ids[0], 1, None, None)
            self.model.keys[key] = (body, answer.ids[0], now())
            self.ids.append(answer.ids[0])

    @rule(which=which, ask=st.sampled_from(["cancel", "rerun"]))
    def ask(self, which: int, ask: str) -> None:
        id = self.ids[which % len(self.ids)]
        model, asks = self.model, getattr(actions, ask)
        if not {"cancel": model.may_be_cancelled, "rerun": model.may_be_rerun}[ask](id):
            with pytest.raises(MoveRefused):
                asks(id)
            return
        with self.moment() as now:
            asks(id)
        if ask == "cancel":
            model.cancelled(id)
        else:
            model.rerun(id, now())

    # -- workers --------------------------------------------------------------------------------

    @rule(shifts=st.lists(shift, min_size=1, max_size=3))
    def work(self, shifts: list[tuple[int, int, Mishap, list[How], Mishap]]) -> None:
        """Take some, and end some of what was taken now or before."""
        for slot, many, mishap, hows, then in shifts:
            if many:
                self.take(slot, many, mishap)
            if hows:
                self.settle(slot, hows, then)

    @precondition(lambda self: len(self.ids) < 8)
    @rule(slot=slots, mishap=st.just(NOTHING) | mishaps_of_taking)
    def hand_over(self, slot: int, mishap: Mishap) -> None:
        """A worker that has found nothing is handed the next task."""
        self.take(slot, 10)
        self.take(slot, 1)
        self.submit(0.0, None, 1, "default", Priority.NORMAL)
        self.take(slot, 1, mishap)

    def take(self, slot: int, many: int, mishap: Mishap = NOTHING) -> None:
        hand, claims = self.hands[slot], []
        with self.moment() as now, self.may_die(slot), mishaps(*mishap):
            claims = hand.take(many)
        self.note_starts(hand, now())
        assert all(self.model.is_held(claim) for claim in claims)
        self.words |= {hand.claim_of(each): each for each in hand.held.values()}

    def settle(self, slot: int, hows: list[How], mishap: Mishap = NOTHING) -> None:
        hand = self.hands[slot]
        for id, how in zip(list(hand.held), hows, strict=False):
            hand.end(id, how)
        said = list(hand.said)
        with self.moment() as now, self.may_die(slot), mishaps(*mishap):
            hand.settle()
        if mishap[:2] != ("settle", "before"):
            for claim, how in said:
                self.model.said(claim, how, now())

    @rule(slot=slots, event=st.sampled_from(["look", "renew", "stop", "die", "be deaf", "restart"]))
    def live(self, slot: int, event: str) -> None:
        """Something happens to a worker, or a scheduler is started anew."""
        if event == "look":
            self.look_what_was_taken_away(slot)
        elif event == "renew":
            self.renew(slot)
        elif event == "stop":
            self.stop(slot)
        elif event == "die":
            self.replace(slot)
        elif event == "be deaf":
            self.hands[slot].listen()
        else:
            self.keepers[slot] = Timekeeper(self.world.broker)

    def look_what_was_taken_away(self, slot: int) -> None:
        hand = self.hands[slot]
        claims = map(hand.claim_of, list(hand.held.values()))
        expected = {claim.task_id for claim in claims if not self.model.is_held(claim)}
        assert hand.look_what_was_taken_away() == expected
        hand.intake.tidy()

    def renew(self, slot: int) -> None:
        hand = self.hands[slot]
        with self.moment() as now:
            lives = hand.renew()
        assert lives == (hand.name in self.model.leases)
        if lives:
            self.model.leases[hand.name] = now().plus(LEASE)
        else:
            hand.begin_again()
            self.note_birth(hand)

    def stop(self, slot: int) -> None:
        self.take(slot, 0)  # what was popped is decided first
        hand = self.hands[slot]
        with self.moment() as now:
            said = hand.stop()
        for claim, how in said:
            self.model.said(claim, how, now())
        self.model.leases.pop(hand.name, None)
        self.replace(slot)

    @rule(which=which, how=st.none() | hows)
    def say_an_old_word(self, which: int, how: How | None) -> None:
        """Whoever holds or held that attempt, dead or paused, says how it goes or how it ended."""
        if not self.words:
            return
        claims = self.stale_words() or list(self.words)
        claim = claims[which % len(claims)]
        started = self.words[claim]
        before = self.everything()
        with self.moment() as now:
            if how is None:
                with sessions.begin() as session:
                    said = [(claim.task_id, claim.number, f"{claim.number}")]
                    store.report_progress(session, said, claim.worker)
            else:
                outbox = Outbox()
                outbox.add(word(started, claim.worker, how), queue="")
                outbox.settle()
        model = self.model
        counts = model.said(claim, how, now()) if how else model.told_progress(claim)
        assert counts or self.everything() == before, "a stale word changed something"

    # -- the clock ------------------------------------------------------------------------------

    @rule(
        seconds=st.sampled_from([0.0, 60.0, 60.0, 120.0, 600.0, 25 * HOUR]),
        asleep=st.frozensets(slots),
        keeper=slots,
        duty=st.sampled_from([None, None, None, None, *DUTIES]),
    )
    def let_time_pass(
        self, seconds: float, asleep: frozenset[int], keeper: int, duty: str | None
    ) -> None:
        """Who is not asleep renews the lease meanwhile; then a scheduler keeps a duty, or all."""
        elapse(seconds, self.world.rows, self.redis, self.keepers)
        self.passed += seconds
        if seconds:
            self.old = self.pending()
        for slot in {0, 1} - asleep:
            self.renew(slot)
        if duty:
            self.keep(keeper, duty)
        else:
            self.keep_all(keeper)

    def keep(self, keeper: int, duty: str) -> None:
        self.keepers[keeper].look()
        in_hand = mischief.popped(self.redis)
        with self.moment() as now:
            self.keepers[keeper].duties[duty]()
        self.note_duty(duty, now())
        taken = in_hand - mischief.popped(self.redis)
        pending = {
            f"{id}" for id, life in self.model.lives.items() if life.status is Status.PENDING
        }
        assert taken & pending <= mischief.queued(self.redis), "taken from the dead, and lost"

    def keep_all(self, keeper: int) -> None:
        """A round as the process makes it: what is announced is kept only if it is due."""
        due = self.keepers[keeper].look()
        for duty in DUTIES:
            if duty not in ANNOUNCED or due.get(duty, 1) <= 0:
                self.keep(keeper, duty)
            else:
                with self.moment() as now:
                    pass
                assert not self.owed(duty, now()), f"the agenda says nothing of {duty}"

    # -- Redis ----------------------------------------------------------------------------------

    @rule(which=which, harm=st.sampled_from(HARMS))
    def harm_redis(self, which: int, harm: str) -> None:
        """Of single jobs, those that matter most: of tasks that wait for them."""
        ids = sorted(self.pending(), key=self.ids.index) or self.ids
        self.is_bare = harm == "flush"
        if harm == "save":
            self.dump = mischief.dump(self.redis)
        elif harm == "restore":
            mischief.restore(self.redis, self.dump)
        else:
            mischief.HARMS[harm](self.redis, ids[which % len(ids)])

    # -- what has to be true --------------------------------------------------------------------

    @invariant()
    def everything_is_as_it_ought_to_be(self) -> None:
        rows = {UUID(id): tuple(row) for id, *row in self.world.ask(LIVES)}
        assert rows == {
            id: (
                life.status, life.attempt, life.worker, life.failures, life.crashes, life.result,
                life.progress, life.status is Status.SCHEDULED, life.status in FINISHED,
            )
            for id, life in self.model.lives.items()
        }  # fmt: skip
        attempts = defaultdict(list)
        for id, *attempt in self.world.ask(ATTEMPTS):
            attempts[UUID(id)].append(tuple(attempt))
        assert attempts == {id: life.ended for id, life in self.model.lives.items() if life.ended}
        for id, life in self.model.lives.items():
            numbers = [number for number, *_ in attempts[id]]
            ended = life.attempt - (life.status is Status.RUNNING)
            assert numbers == list(range(1, ended + 1)), "attempts are numbered without a gap"
        moves = {(was, now): n for was, now, n in self.world.ask(CHANGES)}
        assert moves == self.model.moves, "somebody moved a task, and it does not show"

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:  # else it is known already what is wrong
            self.all_comes_to_an_end()
            self.metrics_tell_the_truth()
        for hand in self.hands:
            hand.die()

    def all_comes_to_an_end(self) -> None:
        """Everybody is well and does what is to be done, until nothing is."""
        for _ in range(ROUNDS):
            for slot in (0, 1):
                self.look_what_was_taken_away(slot)
                self.take(slot, 10)
                for which in range(len(self.stale_words())):
                    self.say_an_old_word(which, How.SUCCEED)
                    self.say_an_old_word(which, None)
                self.settle(slot, [How.SUCCEED] * 10)
                self.everything_is_as_it_ought_to_be()
            self.let_time_pass(60.0, frozenset(), 0, None)
            self.everything_is_as_it_ought_to_be()
            left = list(leftovers(self.redis))
            if self.model.finished and not left:
                return
        stuck = {id: life for id, life in self.model.lives.items() if life.status not in FINISHED}
        assert not stuck
        assert not left

    def metrics_tell_the_truth(self) -> None:
        with sessions() as session:
            kinds = stats.kinds(session)
        told, moves = Counter[str](), Counter[str]()
        for kind in kinds:
            told.update({f"in {status}": n for status, n in kind.depth.items()})
            told.update({f"to {status}": n for status, n in kind.finished.items()})
            told.update(submitted=kind.submitted, retried=kind.retried)
            told.update(waits=sum(kind.wait.buckets), runs=sum(kind.run.buckets))
        for life in self.model.lives.values():
            moves[f"in {life.status}"] += 1
        for (was, now), n in self.model.moves.items():
            moves[f"to {now}"] += n * (now in FINISHED)
            moves["submitted"] += n * (not was)
            moves["retried"] += n * ((was, now) == (Status.RUNNING, Status.SCHEDULED))
            moves["waits"] += n * (now == Status.RUNNING)
            moves["runs"] += n * (was == Status.RUNNING)
        assert +told == +moves

    # -- how it is found out --------------------------------------------------------------------

    @contextmanager
    def moment(self) -> Iterator[Callable[[], Moment]]:
        """When something happens: not before it was asked for, and before anybody asks when."""
        earliest = time.monotonic() + self.passed
        yield lambda: Moment(earliest, time.monotonic() + self.passed)

    @contextmanager
    def may_die(self, slot: int) -> Iterator[None]:
        """Errors of servers are what workers live with; after a death another one begins."""
        try:
            with suppress(DatabaseUnavailable, RedisError):
                yield
        except Died:
            self.replace(slot)

    def replace(self, slot: int) -> None:
        self.hands[slot].die()
        self.hands[slot] = self.a_hand()

    def a_hand(self) -> Hand:
        hand = Hand(self.world.broker)
        self.note_birth(hand)
        return hand

    def note_birth(self, hand: Hand) -> None:
        with self.moment() as now:
            pass
        self.model.leases[hand.name] = now().plus(LEASE)

    def everything(self) -> list[tuple[Any, ...]]:
        return self.world.ask(TASKS) + self.world.ask(ATTEMPTS)

    def standing(self) -> dict[UUID, tuple[Any, ...]]:
        return {UUID(id): tuple(row) for id, *row in self.world.ask(LIVES)}

    def became(self, status: Status) -> set[UUID]:
        """What has this status without the model's knowing."""
        return {
            id
            for id, (now, *_) in self.standing().items()
            if now == status and self.model.lives[id].status != status
        }

    def stale_words(self) -> list[Claim]:
        """Of tasks that somebody holds now: those that could do the most harm."""
        lives = self.model.lives
        stale = [
            claim
            for claim in self.words
            if lives[claim.task_id].status is Status.RUNNING and not self.model.is_held(claim)
        ]
        by_its_holder = [each for each in stale if each.worker == lives[each.task_id].worker]
        return by_its_holder or stale

    def pending(self) -> set[UUID]:
        return {id for id, life in self.model.lives.items() if life.status is Status.PENDING}

    def note_starts(self, hand: Hand, now: Moment) -> None:
        """An answer may be lost, so PostgreSQL is asked what was started."""
        rows = self.standing()
        for id in self.became(Status.RUNNING):
            _, number, worker, *_ = rows[id]
            assert worker == hand.name
            self.model.started(Claim(id, number, worker), now)

    def owed(self, duty: str, now: Moment) -> set[Any]:
        """What that duty has to see to now, in any case."""
        asked = {
            "dispatch_due": self.model.due,
            "expire": self.model.late,
            "rescue_silent": self.model.silent,
        }
        return set(asked[duty](now)[0]) if duty in asked else set()

    def note_duty(self, duty: str, now: Moment) -> None:
        if duty == "dispatch_due":
            for id in self.done(self.became(Status.PENDING), *self.model.due(now)):
                self.model.dispatched(id)
        if duty == "expire":
            for id in self.done(self.became(Status.CANCELLED), *self.model.late(now)):
                self.model.cancelled(id)
        if duty == "rescue_silent":
            gone = set(self.model.leases) - {id for (id,) in self.world.ask(WORKERS)}
            for worker in self.done(gone, *self.model.silent(now)):
                del self.model.leases[worker]
        if duty in ("rescue_silent", "rescue_orphans"):
            for id in self.model.orphans():
                self.model.lost(id, now)

    def done(self, what: set[Any], has_to_be: set[Any], may_be: set[Any]) -> set[Any]:
        assert has_to_be <= what, "too little, or too late"
        assert what <= may_be, "too much, or too early"
        return what


@pytest.fixture
def world(
    _migrated: Emptying, sessions: Sessions, broker: Broker, postgres_url: str
) -> Iterator[World]:
    catalog.load(["tests.jobs.obedient"])
    with closing(psycopg2.connect(_migrated.url)) as rows:
        yield World(_migrated, broker, rows)


@pytest.mark.timeout(900)  # it takes a while to find the shortest order that goes wrong
@pytest.mark.parametrize("number", range(12))
def test_whatever_happens_in_whatever_order(world: World, number: int) -> None:
    orders = get_state_machine_test(
        lambda: AnyOrder(world),
        settings=settings(
            max_examples=ORDERS or 10,
            stateful_step_count=40,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if not ORDERS:  # what a run of the suite tries is the same each time
        seed(number)(orders)
    orders()
