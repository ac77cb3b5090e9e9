"""Faults of workers."""

from __future__ import annotations

from chaos.crew import Member, Role
from chaos.faults.fault import fault
from chaos.scene import Scene

POP, COMMIT = b"EVALSHA", b"COMMIT"
POPPED = "dtq:popped:"
RESTARTS, ROLLED = 100, "workers restarted in order"


@fault("workers", "kill -9, busy", 3)
def kill_busy(scene: Scene) -> None:
    worker = scene.a_worker()
    scene.until_busy(worker)
    worker.kill()
    scene.struck()
    scene.linger(1)


@fault("workers", "kill -9, as it comes", 2)
def kill(scene: Scene) -> None:
    scene.a_worker().kill()
    scene.struck()
    scene.linger(1)


@fault("workers", "kill -9 of all at once", 3)
def kill_all(scene: Scene) -> None:
    scene.until_busy(scene.a_worker())
    for worker in scene.crew.of(Role.WORKER):
        worker.kill()
    scene.linger(2)


@fault("workers", "kill -9 between pop and start", 3, service_only=True)
def kill_between_pop_and_start(scene: Scene) -> None:
    """The start cannot reach PostgreSQL; the popped set shows that the pop has been."""
    worker = scene.a_worker()
    with worker.postgres.black_hole():
        scene.until(lambda: has_popped(scene, worker), within=2)
        worker.kill()
        scene.struck()
        worker.until_ended(2)


@fault("workers", "kill -9 between start and handler", 2)
def kill_between_start_and_handler(scene: Scene) -> None:
    """The claim is committed, but its answer never comes."""
    worker = scene.a_worker()
    link = worker.postgres
    before = link.lost_answers
    with link.lose_answers(COMMIT):
        scene.until(lambda: link.lost_answers > before, within=2)
        worker.kill()
        scene.struck()
        worker.until_ended(2)


@fault("workers", "kill -9 after the settle", 2)
def kill_after_settle(scene: Scene) -> None:
    """Redis hangs, so that a worker is stuck in what follows its commit."""
    worker = scene.a_worker()
    with worker.redis.black_hole():
        scene.linger(0.3)
        worker.kill()
        scene.struck()
        worker.until_ended(2)


@fault("workers", "SIGSTOP longer than the lease", 10)
def pause(scene: Scene) -> None:
    """Its horses go on; what they report in the end is no longer theirs to say."""
    worker = scene.a_worker()
    scene.until_busy(worker)
    with worker.paused():
        scene.struck()
        scene.linger(scene.lease * 2 + 1)
    scene.linger(1)


@fault("workers", "SIGSTOP of a worker and its horses longer than the lease", 10)
def pause_whole(scene: Scene) -> None:
    """A zombie wakes up in the middle of handlers that others have run meanwhile."""
    worker = scene.a_worker()
    scene.until_busy(worker)
    with worker.paused(whole=True):
        scene.struck()
        scene.linger(scene.lease * 2 + 1)
    scene.linger(1)


@fault("workers", "SIGSTOP shorter than the lease", 2)
def pause_briefly(scene: Scene) -> None:
    with scene.a_worker().paused():
        scene.linger(scene.lease / 2)


@fault("workers", "rolling SIGTERM under load", 8, gentle=True)
def roll(scene: Scene) -> None:
    """One after the other, as a deployment does."""
    for _ in range(3):
        for worker in scene.crew.of(Role.WORKER):
            restart(scene, worker)


@fault(
    "workers", f"{RESTARTS} rolling restarts", 180, gentle=True, only_named=True, service_only=True
)
def roll_on(scene: Scene) -> None:
    """Each worker is there again before the next one goes."""
    workers = scene.crew.of(Role.WORKER)
    for number in range(RESTARTS):
        replace(scene, workers[number % len(workers)])
        scene.measured[ROLLED] = number + 1


@fault("workers", "two SIGTERMs", 3, gentle=True)
def terminate_twice(scene: Scene) -> None:
    worker = scene.a_worker()
    worker.terminate()
    scene.linger(0.1)
    worker.terminate()
    worker.until_ended()


@fault("workers", "SIGTERM while PostgreSQL is away", 9, alone=True)
def terminate_without_postgres(scene: Scene) -> None:
    """Outcomes go to the spool, and the next worker replays them."""
    worker = scene.a_worker()
    with worker.postgres.reset():
        scene.linger(0.5)
        worker.terminate()
        worker.until_ended()
    scene.linger(1)


def restart(scene: Scene, worker: Member) -> None:
    before = worker.starts
    worker.terminate()
    worker.until_ended()
    scene.until(lambda: worker.starts > before, within=10)
    scene.linger(0.6)


def lives(scene: Scene, worker: Member) -> bool:
    """Whether this process's worker has begun its life."""
    return bool(scene.stage.query("SELECT id FROM workers WHERE pid = %s", worker.pid))


def replace(scene: Scene, worker: Member) -> None:
    """End it in order, and wait until its successor has begun its life."""
    before = worker.starts
    worker.terminate()
    worker.until_ended()
    if not scene.until(lambda: worker.starts > before and lives(scene, worker), 20, every=0.05):
        raise TimeoutError(f"{worker.name} did not come back")


def has_popped(scene: Scene, worker: Member) -> bool:
    """Whether ids stand in the popped set of this process's worker."""
    with scene.stage.redis_client() as client:
        keys = client.scan_iter(f"{POPPED}*-{worker.pid}-*")
        return any(client.scard(key) for key in keys)
