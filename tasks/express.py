"""Sessions for one hot statement: planned once per connection, sent and committed in one message.

Through an ordinary session a statement costs BEGIN, its plan and COMMIT each time. Here it is
prepared, and what is sent together in one message is one transaction (PostgreSQL's documentation,
"Multiple Statements in a Simple Query"), so nothing is ever left open when this process hangs.
"""

import re
import select
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

from psycopg2.extensions import new_type, register_type
from sqlalchemy import BindParameter, ClauseElement, Engine, Executable, PoolProxiedConnection
from sqlalchemy.dialects.postgresql.base import PGCompiler
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.orm import Session


class Numbering(PGCompiler):
    """Writes a named parameter as $1, $2, …, and a constant as it is: part of the plan."""

    @cached_property
    def given(self) -> dict[str, BindParameter[Any]]:
        """The parameters met so far, by name, in the order of their numbers."""
        return {}

    def visit_bindparam(self, bindparam: BindParameter[Any], **how: Any) -> str:  # type: ignore[override]  # it names all of `how`
        if bindparam.unique:
            return str(super().visit_bindparam(bindparam, **how | {"literal_binds": True}))
        self.given.setdefault(bindparam.key, bindparam)
        return f"${list(self.given).index(bindparam.key) + 1}"


_dialect = PGDialect_psycopg2()
_dialect.statement_compiler = Numbering

UUID_TYPE = 2950  # in PostgreSQL's catalog `pg_type`
AS_TEXT = new_type((UUID_TYPE,), "ID", lambda value, _: value)


class Hot:
    """A statement for sets of tasks, which every connection for such statements plans once."""

    def __init__(self, name: str, statement: Executable) -> None:
        self.name = name
        written = cast(Numbering, cast(ClauseElement, statement).compile(dialect=_dialect))
        types = [each.type.compile(_dialect) for each in written.given.values()]
        given = [f"%({key})s" for key in written.given]
        accepted = f" ({', '.join(types)})" if types else ""
        self.preparation = f"PREPARE {name}{accepted} AS {written}"
        self.execution = f"EXECUTE {name}" + (f" ({', '.join(given)})" if given else "")
        typed = [f"CAST({value} AS {type})" for value, type in zip(given, types, strict=True)]
        self.unprepared = re.sub(
            r"\$([0-9]+)", lambda n: typed[int(n[1]) - 1], str(written).replace("%", "%%")
        )
        self._unless_given = {key: each.value for key, each in written.given.items()}

    def parameters(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values by name, as the driver is to write them."""
        written = {
            key: array(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return {**self._unless_given, **written}


def array(values: Sequence[Any]) -> str:
    """A PostgreSQL array in its text form, for scalars of any type.

    The driver would write `ARRAY['…', …]`, an expression of which the server parses every element:
    for sets of tasks that costs more than to run the statement. Its source: PostgreSQL's
    documentation, "Array Input and Output Syntax".
    """
    if set(map(type, values)) == {str}:
        joined = '","'.join(values)
        if "\\" not in joined and joined.count('"') == 2 * len(values) - 2:  # but for our own
            return f'{{"{joined}"}}'
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class Express:
    """Takes the place of a session for one hot statement, which is committed as it is executed."""

    def __init__(self, connection: PoolProxiedConnection) -> None:
        self.info: dict[Any, Any] = {}  # as a session's: what is to be told after the commit
        self._connection = connection
        self._along: list[tuple[Hot, Mapping[str, Any]]] = []

    def send_along(self, hot: Hot, values: Mapping[str, Any]) -> None:
        """Execute this as well, before the next statement and in its transaction."""
        self._along.append((hot, values))

    def execute(self, hot: Hot, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Execute a statement with all that was to go along, and commit; return its rows."""
        calls, self._along = [*self._along, (hot, values)], []
        prepared = self._connection.info.setdefault("prepared", set())
        with cast(Any, self._connection).cursor() as cursor:
            for each, _ in calls:
                if each.name not in prepared:
                    cursor.execute(each.preparation)
                    prepared.add(each.name)
            sent = [cursor.mogrify(each.execution, each.parameters(given)) for each, given in calls]
            cursor.execute(b"; ".join(sent))
            return cast(list[tuple[Any, ...]], cursor.fetchall())


class Tracks:
    """The connections that hot statements run on, as many as are used at a time.

    They stay out of the engine's pool once they are made: to take one from there and to give it
    back takes longer than a statement, on a processor that has just slept.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: deque[PoolProxiedConnection] = deque()

    @contextmanager
    def take(self) -> Iterator[PoolProxiedConnection]:
        """A connection, for as long as this block lasts."""
        connection = self._next()
        try:
            yield connection
        finally:
            if connection.closed:
                connection.invalidate()
            else:
                self._idle.append(connection)

    def _next(self) -> PoolProxiedConnection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._engine.raw_connection()
            if not is_cut(connection):
                return connection
            connection.invalidate()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def is_cut(connection: Any) -> bool:
    """Whether it has something to say before it is asked: that the server has ended it."""
    said = select.poll()
    said.register(connection.fileno(), select.POLLIN)
    return bool(said.poll(0))


def make_ready(connection: Any) -> None:
    """Make a new connection of psycopg2 fit for this.

    Ids come out as the text they are: what handles sets of tasks seldom needs more. A plan is made
    once, perhaps while a table is empty, and holds when it has grown: it goes by an index from the
    beginning.
    """
    connection.autocommit = True
    register_type(AS_TEXT, connection)
    with connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")


def execute(
    session: Session | Express, hot: Hot, values: Mapping[str, Any]
) -> Sequence[Sequence[Any]]:
    """Execute a hot statement in the transaction of a session, or at once."""
    if isinstance(session, Express):
        return session.execute(hot, values)
    result = session.connection().exec_driver_sql(hot.unprepared, hot.parameters(values))
    return result.all() if result.returns_rows else ()
