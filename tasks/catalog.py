"""The kinds of task and their terms. Importing a module of handlers registers its kinds."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from marshmallow import RAISE, Schema, ValidationError

from tasks.errors import InvalidTask, UnknownKind
from tasks.lifecycle import Priority
from tasks.retry import Backoff

Handler = TypeVar("Handler", bound=Callable[..., Any])

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Kind:
    """One kind of task: its handler, the schema of its payload and the terms it runs on."""

    name: str
    handler: Callable[..., Any]
    schema: type[Schema]
    queue_name: str
    priority: Priority
    timeout: timedelta | None  # of one attempt; None: the service's DEFAULT_TASK_TIMEOUT
    retry: Backoff
    io: bool  # it mostly waits, so many of them share one horse's threads
    description: str
    context_parameter: str | None  # the name under which the handler asks for its context
    _loader: Schema = field(repr=False, compare=False)

    def check(self, payload: Mapping[str, Any]) -> None:
        """Raise `InvalidTask` naming each field of the payload that the schema refuses."""
        try:
            self._loader.load(payload)
        except ValidationError as error:
            raise InvalidTask({"payload": error.normalized_messages()}) from None

    def arguments(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The payload as the handler's keyword arguments, with the schema's defaults and types."""
        loaded = self._loader.load(payload)
        return dict(loaded)


_kinds: dict[str, Kind] = {}


def handles(
    name: str,
    schema: type[Schema],
    *,
    queue_name: str = "default",
    priority: Priority | str = Priority.NORMAL,
    timeout: timedelta | None = None,
    retry: Backoff | None = None,
    io: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a function as the handler of one kind of task.

    The function gets the validated payload as keyword arguments and, if it has a parameter named
    `context` or `ctx`, a `jobs.context.Context`. What it returns must be JSON. Its docstring is
    the kind's description in the API. Raises `ValueError` for impossible terms and for a name
    that is taken by another function.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"A kind's name is letters, digits, '_', '.' and '-': not {name!r}.")
    if not QUEUE_NAME.fullmatch(queue_name):
        raise ValueError(
            f"A queue name is 1 to 64 letters, digits, '_' and '-': not {queue_name!r}."
        )
    if timeout is not None and timeout <= timedelta():
        raise ValueError(f"The timeout of {name!r} must be positive.")

    def register(handler: Handler) -> Handler:
        known = _kinds.get(name)
        if known and (known.handler.__module__, known.handler.__qualname__) != (
            handler.__module__,
            handler.__qualname__,
        ):
            raise ValueError(f"Two handlers claim the kind {name!r}.")
        parameters = inspect.signature(handler).parameters
        asks = next((each for each in ("context", "ctx") if each in parameters), None)
        _kinds[name] = Kind(
            name=name,
            handler=handler,
            schema=schema,
            queue_name=queue_name,
            priority=Priority(priority),
            timeout=timeout,
            retry=retry or Backoff(),
            io=io,
            description=inspect.cleandoc(handler.__doc__ or ""),
            context_parameter=asks,
            _loader=schema(unknown=RAISE),
        )
        return handler

    return register


def kinds() -> Mapping[str, Kind]:
    """Every registered kind by its name."""
    return MappingProxyType(_kinds)


def kind(name: str) -> Kind:
    """The kind of that name, or `UnknownKind` naming the known ones."""
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKind(name, sorted(_kinds)) from None


def load(modules: Iterable[str]) -> None:
    """Import modules of handlers by their dotted names, so that they register their kinds."""
    for module in modules:
        importlib.import_module(module)
