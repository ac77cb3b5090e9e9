"""A horse: a warm child process of a worker that runs handlers and nothing else.

It knows neither Redis nor, unless a handler asks for a session, PostgreSQL. It reads one assignment
at a time, so that whatever is unread when it dies was certainly not begun.
"""

import os
import signal
from dataclasses import dataclass
from types import FrameType

import orjson

from jobs.assignment import Assignment, Progress, Report
from jobs.channel import Channel
from jobs.interrupts import Interrupts
from jobs.perform import Performance
from jobs.threads import Threads
from jobs.verdict import raised
from tasks.errors import Interruption

WAITING = b"w"  # the tag of assignments that run on a thread


@dataclass(frozen=True)
class HorseTerms:
    """What holds for every horse of a worker."""

    threads: int = 32  # for kinds that mostly wait
    max_result_bytes: int = 1_048_576


class Horse:
    """The child's side: read, run, report."""

    def __init__(self, channel: Channel, orders: Channel, terms: HorseTerms) -> None:
        self._channel, self._orders, self._terms = channel, orders, terms
        self._interrupts = Interrupts()
        self._threads = Threads(terms.threads, self._attempt)
        signal.signal(signal.SIGUSR1, self._on_order)

    def work(self) -> None:
        """Run assignments until the worker sends no more."""
        kept = False  # a thread for the next assignment that waits
        while True:
            kept = kept or self._threads.reserve(wait=False)
            if not kept:
                tag = self._channel.peek()
                if tag == WAITING:
                    kept = self._threads.reserve(
                        wait=True
                    )  # until then the worker may take it back
                elif tag is None:
                    break
            received = self._channel.receive(wait=kept)
            if received is not None:
                tag, message = received
                assignment = Assignment.decode(message)
                if tag == WAITING and kept:
                    kept = False
                    self._threads.give(assignment)
                else:
                    self._attempt(assignment)
            elif kept:
                break
        self._threads.finish()

    def _attempt(self, assignment: Assignment) -> None:
        performance = Performance(assignment, self._say, self._terms.max_result_bytes)
        report: Report | None = None
        try:
            self._interrupts.begin(performance)
            report = performance.run()
            self._interrupts.end(performance)
        except Interruption as late:  # it came between the handler's end and ours
            self._interrupts.end(performance)
            report = report or raised(assignment, None, late, assignment.timeout)
        self._channel.send(report.encode())

    def _say(self, word: Progress) -> None:
        self._channel.send(word.encode())

    def _on_order(self, signum: int, frame: FrameType | None) -> None:
        """The worker wants attempts stopped; which ones stands in the channel of orders."""
        for order in self._orders.drain():
            task_id, attempt = orjson.loads(order)
            self._interrupts.cancel(task_id, attempt)


def be_a_horse(channel: Channel, orders: Channel, terms: HorseTerms) -> None:
    """Turn this freshly forked process into a horse; never returns."""
    status = 1
    try:
        Horse(channel, orders, terms).work()
        status = 0
    finally:
        os._exit(status)
