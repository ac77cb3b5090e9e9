"""The engine, the sessions, and what happens once a transaction is committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import URL, Engine, create_engine, event, text
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.orm import Session, sessionmaker

from tasks.broker import Broker, Delivery
from tasks.errors import DatabaseUnavailable, Unstorable
from tasks.express import Express, Tracks, is_cut, make_ready
from tasks.failpoints import reach
from tasks.patience import one_deadline, wait_at_most

UNAVAILABLE = (
    sqlalchemy_errors.OperationalError,
    sqlalchemy_errors.InterfaceError,
    sqlalchemy_errors.TimeoutError,  # no connection of the pool became free
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)


class Sessions(sessionmaker[Session]):
    """Where sessions come from; an outage of PostgreSQL is called `DatabaseUnavailable`."""

    @contextmanager
    def begin(self, step: str = "") -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        A `step` that the guarantee depends on has a name, for the tests that make it fail.
        """
        try:
            with one_deadline(), self() as session, session.begin():
                yield session
                reach(step, "before")
            reach(step, "after")
        except UNAVAILABLE as error:
            raise DatabaseUnavailable() from error
        except sqlalchemy_errors.DataError as error:
            raise Unstorable() from error
        except sqlalchemy_errors.DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable() from error
            raise

    @contextmanager
    def express(self, step: str) -> Iterator[Express]:
        """The same for one hot statement, which is committed as it is executed."""
        try:
            reach(step, "before")
            with one_deadline(), _tracks.take() as connection:
                session = Express(connection)
                try:
                    yield session
                except psycopg2.Error as error:
                    if connection.closed:
                        raise DatabaseUnavailable() from error
                    raise
            _tell_redis(session.info)
            reach(step, "after")
        except UNAVAILABLE as error:
            raise DatabaseUnavailable() from error
        except psycopg2.DataError as error:
            raise Unstorable() from error


__all__ = ["Session", "Sessions", "close", "engine", "follow", "open", "sessions"]

sessions = Sessions(expire_on_commit=False)
_express: Engine  # for hot statements
_tracks: Tracks  # its connections
_broker: Broker | None = None
_stillness: float | None = None  # seconds a transaction of this process may do nothing
CONNECT_TIMEOUT = 10  # seconds, where nobody waits for an answer


def open(
    url: str,
    broker: Broker | None = None,
    *,
    connections: int = 4,
    patience: float = 1.5,
    stillness: float = 10.0,
) -> Engine:
    """Use this database, and push what becomes pending through this broker.

    `connections` is the pool's size, not counting those of hot statements; `patience` the
    seconds a transaction may take to be answered, or wait for a free place in the pool.
    `stillness` is for the server: a transaction that has done nothing for so many seconds is ended,
    so that a process that hangs holds no rows locked.
    """
    global _broker, _stillness
    _broker, _stillness = broker, stillness
    wait_at_most(patience)
    _connect_to(url, max(2, int(patience)), connections, max_overflow=0, pool_timeout=patience)
    return engine()


def _connect_to(url: str | URL, connect_timeout: int, connections: int, **pool: Any) -> None:
    global _express, _tracks
    pool |= {
        "pool_use_lifo": True,
        "hide_parameters": True,  # errors are logged, payloads are not
        "connect_args": {"connect_timeout": connect_timeout, "application_name": "task-queue"},
    }
    ordinary = create_engine(url, pool_size=connections, **pool)
    event.listen(ordinary, "connect", _limit_stillness)
    sessions.configure(bind=ordinary)
    _express = create_engine(url, pool_reset_on_return=None, **pool | {"max_overflow": -1})
    _tracks = Tracks(_express)
    event.listen(_express, "connect", lambda connection, _: make_ready(connection))
    for each in (ordinary, _express):
        event.listen(each, "checkout", _replace_if_cut)


def _replace_if_cut(connection: Any, record: Any, proxy: Any) -> None:
    """Have a connection that has something to say before it is asked replaced by a new one.

    It says that the server has ended it. To see that here saves whoever is next a failure. A new
    connection is taken as it is: SQLAlchemy gives up, and not with an outage, where the one that
    replaces another is refused as well.
    """
    if not record.info.get("used"):
        record.info["used"] = True
        return
    if is_cut(connection):
        raise sqlalchemy_errors.DisconnectionError()


def _limit_stillness(connection: Any, record: Any) -> None:
    milliseconds = int((_stillness or 0) * 1000)  # 0 switches the limit off
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
    connection.commit()


def begin_anew_after_fork() -> None:
    """Use connections of this process's own, without limits: a handler may take its time.

    Those of the parent are left alone. Every handler that asks for a session gets a connection.
    """
    global _broker, _stillness
    _broker, _stillness = _broker and _broker.anew(), None
    wait_at_most(None)
    if bind := sessions.kw.get("bind"):
        for each in (bind, _express):
            each.dispose(close=False)
        _connect_to(bind.url, CONNECT_TIMEOUT, 1, max_overflow=-1)


def engine() -> Engine:
    """The engine in use."""
    bind: Engine = sessions.kw["bind"]
    return bind


def check() -> None:
    """Raise `DatabaseUnavailable` if PostgreSQL does not answer."""
    with sessions.begin() as session:
        session.execute(text("SELECT 1"))


def close() -> None:
    """Give back every connection."""
    if bind := sessions.kw.get("bind"):
        _tracks.close()
        bind.dispose()
        _express.dispose()


def note_pending(session: Session | Express, deliveries: list[Delivery]) -> None:
    """These tasks are pending once this transaction commits: push them then."""
    session.info.setdefault("pending", []).extend(deliveries)


def note_finished(session: Session | Express, ids: list[str]) -> None:
    """These tasks are finished once this transaction commits: wake who waits for them then."""
    session.info.setdefault("finished", []).extend(ids)


@event.listens_for(sessions, "after_commit")
def tell_redis(session: Session) -> None:
    if not session.in_nested_transaction():  # the end of a savepoint commits nothing yet
        _tell_redis(session.info)


def _tell_redis(noted: dict[Any, Any]) -> None:
    """Push what the transaction left pending. If that fails, a duty of the scheduler repeats it."""
    pending: list[Delivery] = noted.pop("pending", [])
    finished: list[str] = noted.pop("finished", [])
    if _broker is not None:
        if pending:
            _broker.push(pending)
        if finished:
            _broker.announce_finished(finished)


@event.listens_for(sessions, "after_rollback")
def forget(session: Session) -> None:
    if session.in_nested_transaction():  # of a savepoint: a job without a row does no harm
        return
    session.info.pop("pending", None)
    session.info.pop("finished", None)


def follow(session: Session) -> Any:
    """Make a session that somebody else made keep the same promise at its commit."""
    if not event.contains(session, "after_commit", tell_redis):
        event.listen(session, "after_commit", tell_redis)
        event.listen(session, "after_rollback", forget)
