"""A newcomer at a terminal: a fresh clone, `make run`, and a look at what is there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from dev.servers import free_port
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
MAKE_RUN = ["make", "--no-print-directory", "--assume-old=.venv/.ready", "run"]
PYTHON_DEV = [".venv/bin/python", "-m", "dev"]


def clone(into: Path) -> Path:
    """Copy what git knows, and lend it the environment that runs the tests."""
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in known.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    (into / ".venv").symlink_to(sys.prefix)
    return into


class Running:
    """`make run` in a clone, and all its processes, told apart by a mark in their environment."""

    def __init__(self, folder: Path, command: list[str] | None = None, **environ: str) -> None:
        self.folder = folder
        self.port = int(environ.get("API_PORT") or free_port())
        self.data = folder / environ.get("DATA_DIR", ".data")
        self.mark = f"STORY={uuid.uuid4()}"
        self.screen = folder / f"screen-{uuid.uuid4()}.txt"
        with self.screen.open("wb") as screen:
            self.process = subprocess.Popen(
                command or PYTHON_DEV,
                cwd=folder,
                env={**os.environ, "API_PORT": str(self.port), "STORY": self.mark[6:], **environ},
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            eventually(self._is_up, within=60)
        except BaseException:
            print(self.shown())  # noqa: T201  # pytest shows it with the failure
            self.kill_9_everything()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.shown())  # noqa: T201  # pytest shows it with the failure
        self.process.terminate()
        self.process.wait(timeout=60)
        self.kill_9_everything()

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"make run ended with {self.process.returncode}")
        return "Ctrl-C stops everything." in self.shown()

    def shown(self) -> str:
        return self.screen.read_text(errors="replace")

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Any:
        with urlopen(self.api + path, timeout=70) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = Request(self.api + path, json.dumps(body).encode(), headers)
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def submit_and_wait(self, message: str) -> Any:
        task = {"name": "example_task", "payload": {"message": message}}
        task_id = self.post("/api/v1/tasks/", task)["id"]
        return self.get(f"/api/v1/tasks/{task_id}?wait=30")

    def dev_env(self) -> dict[str, str]:
        lines = (self.data / "dev.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def processes(self) -> list[int]:
        return list(self._marked())

    def _marked(self) -> Iterator[int]:
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and self.mark in (process / "environ").read_text():
                    yield int(process.name)
            except (OSError, UnicodeDecodeError):
                continue

    def main_process(self, command: str) -> int:
        """The process that runs this line of the Procfile; its children are younger."""
        asked = command.split()[1:]
        return min(pid for pid in self.processes() if command_line(pid)[1:] == asked)

    def left_nothing(self) -> bool:
        return not self.processes()

    def press_ctrl_c(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=60)

    def kill_9_everything(self) -> None:
        while pids := self.processes():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.poll()


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []
