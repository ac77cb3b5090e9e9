"""Faults of horses. Handlers that kill their own are part of the load."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from signal import SIGKILL, SIGSEGV, SIGSTOP

from chaos.faults.fault import fault
from chaos.scene import Scene


@fault("horses", "kill -9", 2)
def kill(scene: Scene) -> None:
    for _ in range(4):
        send(scene, SIGKILL)
        scene.linger(0.4)


@fault("horses", "segfault", 1)
def segfault(scene: Scene) -> None:
    send(scene, SIGSEGV)
    scene.linger(0.5)


@fault("horses", "SIGSTOP", 3)
def stop(scene: Scene) -> None:
    """It hangs and is killed when its task's time is up, or here."""
    pid = send(scene, SIGSTOP)
    scene.struck()
    try:
        scene.linger(2)
    finally:  # also when the run is over: nothing else would, until a task's time is up
        if pid:
            end(scene, pid)


def send(scene: Scene, number: int) -> int:
    """Send a signal to one horse; return its pid, or 0 if there is none."""
    worker = scene.a_worker()
    scene.until_busy(worker, within=1)
    horses = worker.children()
    if not horses:
        return 0
    pid = scene.chance.choice(horses)
    if number == SIGSTOP:
        with suppress(ProcessLookupError):
            os.kill(pid, SIGSTOP)
    else:
        end(scene, pid, number)
    return pid


def end(scene: Scene, pid: int, number: int = SIGKILL) -> None:
    with suppress(ProcessLookupError):
        scene.kills.append((pid, time.time()))
        os.kill(pid, number)
