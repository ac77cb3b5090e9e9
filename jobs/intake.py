"""How tasks come to a worker: pop ids from Redis, or be handed them, and claim them in PostgreSQL.

A worker that finds nothing and has an idle horse is ready: whoever pushes the next task pops it for
this worker. A popped id stays in the worker's popped set until its claim is decided, so a death in
between loses nothing. A claim whose answer is lost is asked for again, before anything else is
popped.
"""

import logging
import random
import re
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from tasks import catalog, store
from tasks.broker import Broker, Delivery, serving, split_queue
from tasks.database import sessions
from tasks.lifecycle import FINISHED, Priority, Status
from tasks.store import Started

log = logging.getLogger(__name__)

ASIDE = 2.0  # seconds an id of an unknown kind is kept from this worker's queues
AGAIN = 0.1  # … one whose claim was refused although nothing speaks against it
NAMES = 1000  # queue names of one priority that one look takes in
ID = re.compile("-".join(f"[0-9a-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12)))
WEIGHTS = {Priority.CRITICAL: 27, Priority.HIGH: 9, Priority.NORMAL: 3, Priority.LOW: 1}


class Taken(NamedTuple):
    """What came of one look into the queues."""

    claims: list[Started]
    may_be_more: bool  # for the places it had


class Intake:
    """One worker's claims on the queues it serves."""

    def __init__(self, broker: Broker, worker_id: str, only: Sequence[str], *, weighted: bool):
        self._broker, self._worker_id = broker, worker_id
        self._only, self._weighted = frozenset(only), weighted
        self._ready_for = serving(self._only)
        self._kinds = list(catalog.kinds())
        self._waiting_kinds = [name for name, kind in catalog.kinds().items() if kind.io]
        self._handed: deque[str] = deque()  # popped for us by whoever pushed them
        self._undecided: list[str] = []  # popped; whether they were claimed is not known
        self._leaving: list[str] = []  # decided; to leave the popped set with the next call
        self._aside: list[tuple[float, Delivery]] = []  # of unknown kinds; back at that time
        self.queues: list[str] = []  # RQ queues, most urgent first
        self._turn = 0
        self._answer_lost = False  # of a pop: what it took stands in the popped set
        self._unheard = False  # the same may be true of what was handed to us
        self.lease_in_doubt = False  # a claim was refused that only a lost lease explains
        self._in_doubt = False  # an earlier claim of the undecided may have been committed

    def learn_queues(self) -> bool:
        """Look which queues there are; whether that changed. Raises redis-py's errors."""
        known = [
            queue
            for queue in self._broker.queues()
            if not self._only or (split_queue(queue) or ("",))[0] in self._only
        ]
        order = list(Priority)
        known.sort(key=lambda queue: (order.index(Priority(queue.rpartition(":")[2])), queue))
        changed, self.queues = known != self.queues, known
        return changed

    def hand(self, ids: Sequence[str]) -> None:
        """Whoever pushed these popped them for us; to be claimed with the next `take`."""
        self._handed.extend(ids)

    def recall(self) -> None:
        """Something may have been handed to us unheard: look for it at the next `take`."""
        self._unheard = True

    def take(
        self, ordinary: int, waiting: int, *, look: bool = True, is_ready: bool = False
    ) -> Taken:
        """Claim what was handed over; with `look`, pop and claim up to that many tasks.

        With `is_ready`, the next task may be handed over if there is none now. Raises redis-py's
        errors, or `DatabaseUnavailable`; what was popped is then decided at the next call. May be
        called on another thread; only `learn_queues`, `hand` and `recall` may be meanwhile.
        """
        self._return_aside(time.monotonic())
        self._answer_lost, self._unheard = self._answer_lost or self._unheard, False
        may_be_more = bool(self._undecided) or self._answer_lost  # then nothing is popped now
        handed = [self._handed.popleft() for _ in range(len(self._handed))]
        self._undecided += handed
        if self._answer_lost:
            known = {*self._leaving, *(delivery.id for _, delivery in self._aside)}
            found = self._broker.popped_by(self._worker_id)
            self._undecided = [id for id in found if id not in known]
            self._answer_lost = False
        elif look and not may_be_more:
            places = [max(0, each - len(handed)) for each in (ordinary, waiting)]
            may_be_more = self._pop(*places, is_ready=is_ready and not handed)
        return Taken(self._decide(), may_be_more)

    def _pop(self, ordinary: int, waiting: int, *, is_ready: bool) -> bool:
        """Pop up to that many; whether there may be more of them. Raises redis-py's errors."""
        is_ready = is_ready and ordinary > 0 and (waiting > 0 or not self._waiting_kinds)
        order = self._order()
        if ordinary + waiting == 0 or not (order or is_ready):
            return False
        leaving, self._leaving = self._leaving, []
        self._answer_lost = True
        popped = self._broker.pop(
            self._worker_id,
            order,
            ordinary,
            waiting,
            self._waiting_kinds,
            leaving,
            self._ready_for if is_ready else "",
        )
        self._answer_lost = False
        self._undecided += popped
        return len(popped) == ordinary + waiting

    def _order(self) -> list[str]:
        """The queues in the order to be served now; names of one priority take turns.

        Of very many names some are looked at now and the others next, so that no look takes long.
        """
        self._turn += 1
        groups: dict[str, list[str]] = {}
        for queue in self.queues:
            groups.setdefault(queue.rpartition(":")[2], []).append(queue)
        urgencies = list(groups)
        if self._weighted:
            # A weighted draw without replacement: Efraimidis and Spirakis, 2006.
            urgencies.sort(
                key=lambda urgency: random.random() ** (1 / WEIGHTS[Priority(urgency)]),  # noqa: S311  # fairness
                reverse=True,
            )
        order: list[str] = []
        for urgency in urgencies:
            names = groups[urgency]
            step = 1 if len(names) <= NAMES else NAMES
            turn = self._turn * step % len(names)
            order += (names[turn:] + names[:turn])[:NAMES]
        return order

    def _decide(self) -> list[Started]:
        if not self._undecided:
            return []
        doubtful, self._in_doubt = self._in_doubt, True
        ids = [id for id in self._undecided if ID.fullmatch(id)]
        with sessions.express("start") as session:
            claimed = store.start_many(session, ids, self._worker_id, self._kinds)
        if len(claimed) < len(self._undecided):
            done = {each.id for each in claimed}
            claimed += self._explain([id for id in ids if id not in done], doubtful)
        aside = {delivery.id for _, delivery in self._aside}
        self._leaving += [id for id in self._undecided if id not in aside]
        self._undecided, self._in_doubt = [], False
        return claimed

    def _explain(self, ids: list[str], doubtful: bool) -> list[Started]:
        """Sort out what could not be claimed; return what an earlier, lost answer had claimed."""
        with sessions.begin() as session:
            rows = store.why_refused(session, ids)
            mine = store.held_by(session, ids, self._worker_id) if doubtful else []
        now = time.monotonic()
        for row in rows:
            if row.status != Status.PENDING or row.expired:
                continue
            delivery = Delivery(
                str(row.id),
                row.name,
                row.queue_name,
                Priority(row.priority),
                row.timeout,
                front=True,
            )
            if row.name in self._kinds:  # nothing speaks against it but our lease
                self.lease_in_doubt = True
                self._aside.append((now + AGAIN, delivery))
            else:
                log.warning("left task %s to workers that know its kind %r", row.id, row.name)
                self._aside.append((now + ASIDE, delivery._replace(front=False)))
        without_row = set(ids) - {str(row.id) for row in rows}
        over = {str(row.id) for row in rows if row.status in FINISHED}
        if without_row or over:
            log.info("dropped %d jobs without a task to start", len(without_row | over))
            self._broker.remove(without_row | over)
        return mine

    @property
    def undecided(self) -> bool:
        """Whether something was popped of which it is not known whether it was claimed."""
        return bool(self._undecided or self._handed)

    def tidy(self) -> None:
        """Let decided ids leave the popped set, and give back what was set aside long enough."""
        self._return_aside(time.monotonic())
        if self._leaving:
            leaving, self._leaving = self._leaving, []
            self._broker.leave(self._worker_id, leaving)

    def withdraw(self) -> None:
        """Be handed nothing more. Raises redis-py's errors."""
        self._broker.not_ready(self._worker_id)

    def close(self) -> None:
        """Give everything back; what cannot be now is pushed again by the scheduler."""
        self.withdraw()
        self._return_aside(float("inf"))
        self._broker.leave(self._worker_id, self._leaving)

    def _return_aside(self, until: float) -> None:
        back = [delivery for due, delivery in self._aside if due <= until]
        if back:
            self.withdraw()  # they are about to leave the popped set, so not to us
        if back and self._broker.push(back):
            self._aside = [each for each in self._aside if each[0] > until]
            self._leaving += [delivery.id for delivery in back]
