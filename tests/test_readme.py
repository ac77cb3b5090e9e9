"""The README is true: its examples are typed into a shell beside a running service."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from tests.stories.newcomer import Running, clone

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```\n", re.MULTILINE | re.DOTALL)
ANSWERED = re.compile(
    rf"{BLOCK.pattern}(?:\s*^```(?P<form>json|text)\n(?P<answer>.*?)^```\n)?", BLOCK.flags
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
ROOMS = "api|benchmarks|chaos|dev|docs|fuzz|jobs|migrations|scheduler|tasks|tests"
NAMED = re.compile(rf"`((?:{ROOMS})/[\w/.]*)`")
VOLATILE = {
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    "id": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "worker": re.compile(r"\b[A-Za-z0-9-]+-\d+-[0-9a-f]{8}\b"),
}

pytestmark = pytest.mark.story


class Example(NamedTuple):
    """What is typed, and what the README says is answered."""

    typed: str
    form: str | None  # "json" or "text"
    answer: str


class Typed(NamedTuple):
    """What came of it."""

    printed: str
    complaints: str
    code: int


EXAMPLES = [
    Example(found["text"], found["form"], found["answer"] or "")
    for found in ANSWERED.finditer(README)
    if found["language"] == "sh"
]


def files() -> Iterator[tuple[str, str]]:
    """The programs that the README shows whole: the first line names the file."""
    for block in BLOCK.finditer(README):
        if block["language"] == "python":
            yield block["text"].splitlines()[0].removeprefix("# "), block["text"]


@pytest.fixture(scope="module")
def typed(tmp_path_factory) -> list[Typed]:
    """Type every example, in order, into one shell; what came of each."""
    folder = clone(tmp_path_factory.mktemp("readme") / "clone")
    for name, text in files():
        (folder / name).write_text(text)
    script = [
        f"{{ {example.typed}\n}} > {number}.out 2> {number}.err; echo $? > {number}.code"
        for number, example in enumerate(EXAMPLES)
    ]
    with Running(folder, TASK_MODULES="orders") as running:
        create_table(running.dev_env()["DATABASE_URL"])
        commands = "\n".join(script).replace("127.0.0.1:8000", f"127.0.0.1:{running.port}")
        subprocess.run(["bash", "-c", commands], cwd=folder, timeout=100, check=True)
    return [
        Typed(
            (folder / f"{number}.out").read_text(),
            (folder / f"{number}.err").read_text(),
            int((folder / f"{number}.code").read_text()),
        )
        for number in range(len(EXAMPLES))
    ]


def create_table(url: str) -> None:
    statement = re.search(r"CREATE TABLE shipments \(.*\)(?=')", README)
    assert statement
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(statement[0])


@pytest.mark.parametrize(
    "number", range(len(EXAMPLES)), ids=[example.typed.splitlines()[0] for example in EXAMPLES]
)
def test_what_the_readme_says_is_what_is_answered(typed: list[Typed], number: int):
    (_, form, answer), (printed, complaints, code) = EXAMPLES[number], typed[number]

    assert code == 0, printed + complaints
    if form == "json":
        assert_alike(json.loads(answer), json.loads(printed))
    else:
        assert pattern_of(answer).fullmatch(steady(printed)), printed + complaints


def test_every_curl_example_is_typed():
    every_block = [block["text"] for block in BLOCK.finditer(README) if "curl" in block["text"]]

    assert len(every_block) > 15
    assert {example.typed for example in EXAMPLES} >= set(every_block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    for target, section in LINK.findall(page.read_text()):
        place = (page.parent / target).resolve() if target else page

        assert place.exists(), f"{page.name} links to {target}"
        assert not section or section in sections(place), f"{page.name} links to #{section}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path):
    for name in set(NAMED.findall(page.read_text())):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_every_decision_is_listed():
    listed = (ROOT / "docs/decisions/README.md").read_text()
    records = {page.name for page in (ROOT / "docs/decisions").glob("*.md")} - {"README.md"}

    assert records == set(re.findall(r"\]\((.*?)\)", listed))


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def assert_alike(said: Any, found: Any) -> None:
    """The same JSON, but for times, ids and names of workers; "…" stands for anything."""
    if said == "…":
        return
    if isinstance(said, dict) and isinstance(found, dict):
        assert list(said) == list(found)
        for name in said:
            assert_alike(said[name], found[name])
    elif isinstance(said, list) and isinstance(found, list):
        assert len(said) == len(found), found
        for one, other in zip(said, found, strict=True):
            assert_alike(one, other)
    elif isinstance(said, str) and isinstance(found, str):
        assert steady(said) == steady(found)
    else:
        assert said == found


def steady(text: str) -> str:
    """Text without what differs from run to run."""
    for name, pattern in VOLATILE.items():
        text = pattern.sub(f"<{name}>", text)
    return text.replace("\r", "")


def pattern_of(answer: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, steady(answer).split("…"))), re.DOTALL)
