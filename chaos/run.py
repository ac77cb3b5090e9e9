"""One run: start a system, load it, break it, let it settle, and gather the evidence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from random import Random

import psycopg2
from redis.exceptions import RedisError

from chaos.client import Client
from chaos.evidence import Evidence, Strike, gather
from chaos.faults import TABLE, Fault
from chaos.ledger import Ledger
from chaos.load import Load
from chaos.plan import PAUSE, Plan
from chaos.scene import Scene, Stopped
from chaos.stage import Stage
from chaos.system import System, assemble
from dev.labelled import say
from dev.servers import ServerError

log = logging.getLogger(__name__)

STARTED_WITHIN = 60.0  # seconds
CALM_WITHIN = 90.0  # … after a fault that is measured
LOOK = 0.5  # … between two looks at how many tasks wait
DEEP = 1500  # tasks
CALMER = 0.5  # share of the rate
LANES = ("web", "workers", "horses", "redis", "postgres", "network", "scheduler")
NUISANCES = (psycopg2.Error, RedisError, OSError, ServerError, TimeoutError)


class NotStarted(Exception):
    """The system did not come up; its logs tell why."""


@dataclass
class Run:
    """One system's turn."""

    system: System
    stage: Stage
    seed: int
    plan: Plan
    rate: float  # requests per second
    faults: Sequence[Fault]  # of the mix
    patience: float | None = None  # seconds in which nothing moves until what is left is stuck
    strikes: list[Strike] = field(default_factory=list)
    _measured: bool = False  # what strikes alone has struck

    def go(self) -> Evidence:
        """All of it. Whatever ends this early, every process ends as well."""
        with ExitStack() as stack:
            self.system.prepare(self.stage)
            running = assemble(self.system, self.stage)
            ledger = Ledger()
            scene = Scene(
                self.stage,
                running.crew,
                running.front,
                Random(f"{self.seed}/scene"),
                self.system.lease,
                ledger,
            )
            stack.callback(running.crew.stop)
            running.crew.start()
            self._wait_until_it_answers(running.front.port)
            client = Client(running.front.port)
            stack.callback(client.close)
            self.system.begin(client)
            load = Load(running.front.port, ledger, self.seed, self.rate * self.system.rate)
            stack.callback(scene.over.set)
            load.start()
            began = time.time()
            threading.Thread(target=self._hold_back, args=(load,), daemon=True).start()
            self._alone(scene)
            self._measured = True
            self._one_by_one(scene)
            self._mixed(scene)
            mend(scene)
            say(f"{self.system.title}: settling …")
            load.stop()
            self.system.end(client, self.stage)
            self._settle()
            return gather(self, scene, ledger, began, client)

    def _hold_back(self, load: Load) -> None:
        """Let clients ask less where little else is to be measured than the service's own time.

        That is while faults strike alone, and while more tasks wait than a slow machine gets done.
        """
        while not load.over:
            with suppress(*NUISANCES):
                least = DEEP / max(DEEP, self.system.waiting(self.stage))
                load.share = min(least, 1.0 if self._measured else CALMER)
            time.sleep(LOOK)

    def _wait_until_it_answers(self, port: int) -> None:
        client = Client(port)
        deadline = time.monotonic() + STARTED_WITHIN
        while client.ask("GET", "/health").status != 200:
            if time.monotonic() > deadline:
                raise NotStarted(f"{self.system.title} does not answer; see {self.stage.logs}")
            time.sleep(0.1)
        client.close()

    def _alone(self, scene: Scene) -> None:
        """Strike a calm service, and leave it alone until it is calm again: that is measured."""
        for fault in self.plan.measured:
            self._until_calm(scene)
            say(f"{self.system.title}: {fault}, alone")
            self._strike(fault, scene)
            mend(scene)
            self.strikes[-1].over = time.time()
            self.strikes[-1].alone = self._until_calm(scene)

    def _until_calm(self, scene: Scene) -> bool:
        system = self.system
        calm = scene.until(lambda: system.is_calm(self.stage, scene.crew), CALM_WITHIN, every=0.1)
        if not calm:
            scene.notes.append(f"not calm {CALM_WITHIN:.0f} s after {self.strikes[-1:]}")
        return calm

    def _one_by_one(self, scene: Scene) -> None:
        for fault in self.plan.singles:
            say(f"{self.system.title}: {fault}")
            self._strike(fault, scene)
            mend(scene)
            self.strikes[-1].over = time.time()
            scene.linger(PAUSE)

    def _mixed(self, scene: Scene) -> None:
        """A lane for each place, each with one random fault after the other."""
        if self.plan.mixed_seconds < 1:
            return
        say(f"{self.system.title}: everything mixed for {self.plan.mixed_seconds:.0f} s")
        over = threading.Event()
        strike = Strike("a random mix of all of them", time.time())
        lanes = [
            threading.Thread(target=self._lane, args=(place, scene, over), daemon=True)
            for place in LANES
            if any(fault.place == place and may_mix(fault) for fault in self.faults)
        ]
        for lane in lanes:
            lane.start()
        try:
            scene.linger(self.plan.mixed_seconds)
        finally:
            over.set()
            for lane in lanes:
                lane.join(60)
        mend(scene)
        strike.over = time.time()
        self.strikes.append(strike)

    def _lane(self, place: str, scene: Scene, over: threading.Event) -> None:
        chance = Random(f"{self.seed}/mix/{place}")
        mine = replace(scene, chance=chance, over=over, kills=[], measured={})
        faults = [each for each in self.faults if each.place == place and may_mix(each)]
        with suppress(Stopped):
            while True:
                mine.linger(chance.uniform(0.5, 5))
                with suppress(*NUISANCES):
                    chance.choice(faults).strike(mine)

    def _strike(self, fault: Fault, scene: Scene) -> None:
        strike = Strike(str(fault), time.time(), gentle=fault.gentle)
        self.strikes.append(strike)
        scene.struck_at = None
        try:
            fault.strike(scene)
        except NUISANCES as nuisance:
            scene.notes.append(f"{fault} was cut short: {nuisance}")
        strike.struck = scene.struck_at

    def _settle(self) -> None:
        """Wait until everything is finished, or nothing has moved for a long time."""
        patience = self.patience or self.system.lease * 2 + 15
        last, since = -1, time.monotonic()
        while time.monotonic() - since < patience:
            left = self.system.unfinished(self.stage)
            if not left:
                return
            if left != last:
                last, since = left, time.monotonic()
            time.sleep(0.2)


def mend(scene: Scene) -> None:
    """All is as before: servers answer, the network carries, every process runs."""
    scene.stage.network.heal()
    for server in (scene.stage.redis, scene.stage.postgres):
        if server.running:
            server.resume()
        else:
            server.start()
    with suppress(RedisError), scene.stage.redis_client() as client:
        client.config_set("maxmemory", "0")
    for member in scene.crew.members:
        member.start()


def may_mix(fault: Fault) -> bool:
    return not (fault.alone or fault.only_named)


def faults_named(words: Sequence[str]) -> list[Fault]:
    """The faults whose names contain one of these; without words, all that every run has."""
    if words:
        return [fault for fault in TABLE if any(word in str(fault) for word in words)]
    return [fault for fault in TABLE if not fault.only_named]
