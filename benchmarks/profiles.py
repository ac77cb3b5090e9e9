"""Where the CPU time of the service goes, function by function: `python -m benchmarks.profiles`.

`drain` watches the worker and its horses while they drain no-op tasks, `submit` the web processes
while 16 connections submit one task at a time. py-spy (in the peers' environment) takes a sample of
every thread that runs 200 times a second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import environment
from benchmarks.crew import Crew
from benchmarks.load import post
from benchmarks.report import table
from benchmarks.scenarios.drain import drained, fill, start_web
from benchmarks.stage import Place, Stage
from benchmarks.systems.service import Service

DRAINED, SUBMIT_SECONDS, PER_SECOND, SHOWN = 40_000, 6.0, 200, 14

Stacks = Counter[tuple[str, ...]]  # functions from the outermost to the innermost → samples


def main(arguments: Sequence[str]) -> None:
    chosen = arguments or list(WAYS)
    py_spy = Path(environment.python("peers") or sys.executable).with_name("py-spy")
    with Stage() as stage:
        for name in chosen:
            stacks, rate = WAYS[name](stage, py_spy)
            print(f"\n## {name}: {rate:,.0f} a second, watched\n\n{described(stacks)}")


def drain(stage: Stage, py_spy: Path) -> tuple[Stacks, float]:
    system = Service()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        fill(crew, system, place, DRAINED)
        stage.settle()
        crew.start(system.workers(place))
        crew.until(lambda: place.executed() > 0, "begun")
        with watched(crew, "worker", place, py_spy) as stacks:
            figures = drained(crew, system, place, DRAINED)
    return stacks, figures["tasks_per_s"]


def submit(stage: Stage, py_spy: Path) -> tuple[Stacks, float]:
    system = Service()
    with system.place(stage) as place, Crew(stage, system.key) as crew:
        port = start_web(crew, system, place)
        post(port, system.submission(), seconds=1)
        stage.settle()
        with watched(crew, "API", place, py_spy) as stacks:
            seen = post(port, system.submission(), seconds=SUBMIT_SECONDS)
    return stacks, seen.rate


@contextmanager
def watched(crew: Crew, role: str, place: Place, py_spy: Path) -> Iterator[Stacks]:
    """Sample the Python processes of that role; the counts are there afterwards."""
    stacks: Stacks = Counter()
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        watchers = []
        for pid in crew.processes()[role]:
            command = [py_spy, "record", "--pid", str(pid), "--rate", str(PER_SECOND)]
            command += ["--format", "raw", "--function", "--output", f"{folder}/{pid}"]
            watchers.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        try:
            yield stacks
        finally:
            for watcher in watchers:
                watcher.send_signal(2)  # it writes what it has
                watcher.wait()
        for path in Path(folder).iterdir():
            for line in path.read_text().splitlines():
                frames, _, samples = line.rpartition(" ")
                stacks[tuple(frames.split(";"))] += int(samples)


def described(stacks: Stacks) -> str:
    """The functions whose own time is largest, and those that are on the stack most often."""
    total = sum(stacks.values()) or 1
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for frames, samples in stacks.items():
        own[frames[-1]] += samples
        for frame in set(frames):
            within[frame] += samples
    columns = zip(own.most_common(SHOWN), within.most_common(SHOWN), strict=False)
    rows = [
        (f"`{mine}`", share(a, total), f"`{under}`", share(b, total))
        for (mine, a), (under, b) in columns
    ]
    return table(("itself", "share", "with all it calls", "share"), rows)


def share(samples: int, total: int) -> str:
    return f"{100 * samples / total:.0f} %"


WAYS: dict[str, Callable[[Stage, Path], tuple[Stacks, float]]] = {"drain": drain, "submit": submit}

if __name__ == "__main__":
    main(sys.argv[1:])
