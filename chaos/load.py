"""The load: clients that ask for everything, and write down what they hear."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import uuid4

from chaos.client import Client
from chaos.ledger import Answer, Answered, Ledger, Request, Submission
from chaos.wishes import a_task, quick

PATH = "/api/v1/tasks/"
CLIENTS = 10
LONG_POLL = 2.0  # seconds a client asks an answer to be held back
CATCHES_UP = 1.0  # seconds of waiting that a client makes up for by asking faster
BATCH = 80  # tasks at most
IMPORTED = 400  # … in a batch of quick ones
REPEATED_FOR = 30.0  # seconds a client with an Idempotency-Key repeats in doubt
REMEMBERED = 400  # ids that a client may come back to


class Load:
    """Some clients, each in its thread, who ask at a rate whatever is answered."""

    def __init__(self, port: int, ledger: Ledger, seed: int, rate: float) -> None:
        self._port, self._ledger, self._seed = port, ledger, seed
        self.rate = rate  # requests per second, of all clients
        self.share = 1.0  # … of that, for now
        self._over = threading.Event()
        self._known: deque[str] = deque(maxlen=REMEMBERED)
        self._slow: deque[str] = deque(maxlen=20)  # not finished for a while yet
        self._failed: deque[str] = deque(maxlen=REMEMBERED)  # finished without success
        self._threads = [
            threading.Thread(target=self._ask_and_ask, args=(number,), daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish what it is at."""
        self._over.set()
        for thread in self._threads:
            thread.join(REPEATED_FOR + 30)

    def _ask_and_ask(self, number: int) -> None:
        chance = Random(f"{self._seed}/{number}")
        client = Client(self._port)
        customer = Customer(self, client, self._ledger, chance, f"{number}")
        acts, weights = zip(*customer.acts, strict=True)
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            (act,) = chance.choices(acts, weights)
            act()
            due = max(due, time.monotonic() - CATCHES_UP) + chance.expovariate(
                self.rate * self.share / CLIENTS
            )
        client.close()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def remember(self, submission: Submission) -> None:
        self._known.extend(submission.ids[:5])
        pairs = zip(submission.ids, submission.asked, strict=False)
        self._slow.extend(id for id, asked in pairs if takes_a_while(asked))

    def a_slow_id(self) -> str | None:
        try:
            return self._slow.pop()
        except IndexError:
            return None

    def some_id(self, chance: Random) -> str | None:
        return chance.choice(self._known) if self._known else None

    def remember_failed(self, task_id: str) -> None:
        self._failed.append(task_id)

    def a_failed_id(self) -> str | None:
        try:
            return self._failed.popleft()
        except IndexError:
            return None


class Customer:
    """One client and its habits."""

    def __init__(
        self, load: Load, client: Client, ledger: Ledger, chance: Random, name: str
    ) -> None:
        self._load, self._client, self._ledger = load, client, ledger
        self._chance, self._name, self._count = chance, name, 0
        self.acts: list[tuple[Callable[[], None], int]] = [
            (self.submit, 45),
            (self.submit_with_key, 20),
            (self.submit_twice_at_a_time, 3),
            (self.submit_batch, 10),
            (self.import_many, 1),
            (self.look, 6),
            (self.wait, 4),
            (self.cancel, 7),
            (self.rerun, 3),
            (self.look_around, 2),
        ]

    def submit(self) -> None:
        submission = self._a_submission(1)
        self._post(self._client, submission)
        self._done(submission)

    def submit_with_key(self) -> None:
        submission = self._a_submission(1, key=True)
        self._insist(submission)
        if self._chance.random() < 0.2:
            self._post(self._client, submission)  # once more, for no reason
        self._done(submission)

    def submit_twice_at_a_time(self) -> None:
        """The same request over two connections at once."""
        submission = self._a_submission(1, key=True)
        other = Client(self._client.port)
        second = threading.Thread(target=self._post, args=(other, submission))
        second.start()
        self._insist(submission)
        second.join()
        other.close()
        self._done(submission)

    def submit_batch(self) -> None:
        with_key = self._chance.random() < 0.5
        submission = self._a_submission(self._chance.randint(2, BATCH), key=with_key)
        if with_key:
            self._insist(submission)
        else:
            self._post(self._client, submission)
        self._done(submission)

    def import_many(self) -> None:
        """Many quick ones in one request."""
        submission = self._a_submission(IMPORTED, draw=quick)
        self._post(self._client, submission)
        self._done(submission)

    def look(self) -> None:
        self._ask_of_one("look", "GET", "")

    def wait(self) -> None:
        self._ask_of_one("wait", "GET", f"?wait={LONG_POLL:g}")

    def cancel(self) -> None:
        """Mostly a task that can still be cancelled."""
        task_id = self._load.a_slow_id() if self._chance.random() < 0.8 else None
        if task_id := task_id or self._load.some_id(self._chance):
            self._ask("cancel", "POST", task_id, "/cancel")

    def rerun(self) -> None:
        """Bring back a task that failed, or was cancelled before it had begun."""
        if task_id := self._load.a_failed_id():
            self._ask("rerun", "POST", task_id, "/rerun")

    def look_around(self) -> None:
        path = self._chance.choice(
            ["/api/v1/monitoring/queues", f"{PATH}?limit=20", "/api/v1/monitoring/metrics"]
        )
        self._ledger.note("look around", self._client.ask("GET", path))

    def _a_submission(
        self,
        count: int,
        *,
        key: bool = False,
        draw: Callable[[Random, str], dict[str, Any]] = a_task,
    ) -> Submission:
        self._count += 1
        label = f"{self._name}.{self._count}"
        asked = [draw(self._chance, label) for _ in range(count)]
        return Submission(label, asked, uuid4().hex if key else None)

    def _post(self, client: Client, submission: Submission) -> Answer:
        headers = {"Idempotency-Key": submission.key} if submission.key else {}
        if len(submission.asked) == 1:
            answer = client.ask("POST", PATH, submission.asked[0], headers)
        else:
            answer = client.ask("POST", f"{PATH}batch", {"tasks": submission.asked}, headers)
        if answer.means is Answered.OK and answer.body:
            ids = answer.body["ids"] if "ids" in answer.body else [answer.body["id"]]
            submission.answered_ids.append(ids)
        submission.answers.append(answer)
        self._ledger.note("submit" if len(submission.asked) == 1 else "submit batch", answer)
        return answer

    def _insist(self, submission: Submission) -> None:
        """Repeat while nobody knows whether it was done: the key makes that safe."""
        until = time.monotonic() + REPEATED_FOR
        while self._post(self._client, submission).means is not Answered.OK:
            if time.monotonic() > until:
                return
            time.sleep(self._chance.uniform(0.1, 0.5))

    def _done(self, submission: Submission) -> None:
        self._ledger.enter(submission)
        self._load.remember(submission)

    def _ask_of_one(self, act: str, method: str, suffix: str) -> None:
        if task_id := self._load.some_id(self._chance):
            self._ask(act, method, task_id, suffix)

    def _ask(self, act: str, method: str, task_id: str, suffix: str) -> None:
        answer = self._client.ask(method, f"{PATH}{task_id}{suffix}")
        self._ledger.note(act, answer)
        self._ledger.enter_request(Request(act, task_id, answer))
        if answer.means is Answered.OK and answer.body and may_be_rerun(answer.body):
            self._load.remember_failed(task_id)


def takes_a_while(asked: dict[str, Any]) -> bool:
    return "delay" in asked or asked.get("payload", {}).get("seconds", 0) > 0.1


def may_be_rerun(task: dict[str, Any]) -> bool:
    """Failed; or cancelled and never started, so that no handler of it can still be running."""
    return task["status"] == "failed" or (task["status"] == "cancelled" and not task["attempts"])
