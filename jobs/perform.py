"""One attempt, from its assignment to its report: call the handler and judge the end."""

import re
import time
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any

import orjson
from marshmallow import ValidationError
from structlog.contextvars import bind_contextvars, reset_contextvars

from jobs.assignment import Assignment, Progress, Report
from jobs.context import Context
from jobs.verdict import InvalidResult, raised, succeeded
from tasks import catalog, scrubbing, sealing, store
from tasks.catalog import Kind
from tasks.database import Session, sessions
from tasks.errors import GiveUp, ResultTooLarge
from tasks.failpoints import reach
from tasks.lifecycle import Move, Outcome

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # an escaped NUL, which PostgreSQL's JSON cannot hold


class Performance:
    """One attempt while it runs, so that it can be interrupted."""

    def __init__(
        self, assignment: Assignment, say: Callable[[Progress], None], max_result_bytes: int
    ) -> None:
        self.assignment = assignment
        self.context = Context(assignment, say, self._open_session)
        self._max_result_bytes = max_result_bytes
        self._session: Session | None = None

    def run(self) -> Report:
        """Run the handler to its end; whatever it raises becomes part of the report."""
        assignment = self.assignment
        began = time.monotonic()
        kind = catalog.kinds().get(assignment.name)
        bound: Mapping[str, Token[Any]] = {}
        try:
            bound = bind_contextvars(
                task_id=assignment.task_id,
                attempt=assignment.attempt,
                request_id=assignment.request_id,
            )
            reach("run", "before")
            result = self._call(catalog.kind(assignment.name))
            reach("run", "after")
            report = succeeded(assignment, result, time.monotonic() - began)
            if self._session is not None:
                self._commit_together(report, self._session)
        except BaseException as error:  # noqa: BLE001  # SystemExit and timeouts end attempts too
            report = raised(assignment, kind, error, time.monotonic() - began)
        finally:
            reset_contextvars(**bound)
            if self._session is not None:
                self._session.close()
        return report

    def _call(self, kind: Kind) -> bytes:
        payload, secrets = sealing.unseal(kind, orjson.loads(self.assignment.payload))
        scrubbing.keep_out(secrets)
        try:
            arguments = kind.arguments(payload)
        except ValidationError as error:
            raise GiveUp(f"The payload does not fit the kind: {error.messages}") from None
        if kind.context_parameter:
            arguments[kind.context_parameter] = self.context
        return self._json(kind.handler(**arguments))

    def _json(self, returned: Any) -> bytes:
        if returned is None:
            return b"null"
        try:
            result = orjson.dumps(returned)
        except TypeError as error:
            raise InvalidResult(f"The handler's result is not JSON: {error}") from None
        if len(result) > self._max_result_bytes:
            raise ResultTooLarge(
                f"The result is {len(result)} bytes as JSON; at most {self._max_result_bytes}"
                " are kept (MAX_RESULT_BYTES)."
            )
        if b"\\u0000" in result and NUL.search(result):
            raise InvalidResult("The handler's result contains a NUL character.")
        return result

    def _open_session(self) -> Session:
        self._session = sessions()
        return self._session

    def _commit_together(self, report: Report, session: Session) -> None:
        """Settle in the handler's own transaction: its writes and its outcome are one."""
        settlement = store.Settlement(
            task_id=report.task_id,
            holder=store.Holder(report.attempt, self.assignment.worker_id),
            move=Move.SUCCEED,
            outcome=Outcome.SUCCEEDED,
            result=report.result.decode() if report.result else None,
        )
        if store.settle_many(session, [settlement]):
            session.commit()
            report.settled = True
        else:  # presumed dead and replaced, or cancelled: its writes must not be seen
            session.rollback()
            report.move, report.outcome = Move.CANCEL, Outcome.CANCELLED
