"""How a view states its contract: what it takes, answers and refuses.

flask-smorest's decorators document a view and also parse and dump at run time, each in a wrapper
of its own. Here the same words document through flask-smorest and leave behind only what the view
needs, so that the busiest views cost little more than an empty one.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import flask_smorest
from flask import Response
from marshmallow import Schema
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from api import errors, queries, wire
from api.schemas import ErrorBody
from api.strict_json import RefusedJSON

Decorator = Callable[[Any], Any]  # of a view; its attributes are ours and flask-smorest's

REFUSALS_OF_A_BODY = (RefusedJSON, RequestTimeout, RequestEntityTooLarge, UnsupportedMediaType)


class Blueprint(flask_smorest.Blueprint):
    """A flask-smorest blueprint with our words for a contract."""

    def takes(
        self, schema: Any, read: Callable[[Any], Any], *, examples: Mapping[str, Any]
    ) -> Decorator:
        """The view takes a JSON body, which `read` turns into its first argument or refuses.

        `schema` (marshmallow's or OpenAPI's) documents the body; a test holds that `read` accepts
        exactly the same.
        """

        def decorate(view: Any) -> Any:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(read(wire.read()), *args, **kwargs)

            content = {"schema": schema, "examples": named(examples)}
            body = {"required": True, "content": {wire.JSON: content}}
            return self.raises(*REFUSALS_OF_A_BODY)(self.says(requestBody=body)(reading))

        return decorate

    def asks(self, schema: type[Schema]) -> Decorator:
        """The view takes query parameters, as its first argument."""
        parameters = schema()

        def decorate(view: Any) -> Any:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(queries.read(parameters), *args, **kwargs)

            said = document(reading, self.arguments(schema, location="query"))
            said._apidoc["arguments"].pop("responses")  # raises() says it better
            return self.raises(errors.InvalidQuery)(said)

        return decorate

    def answers(
        self,
        status: int,
        schema: Any,
        *,
        example: Any = None,
        write: Callable[[Any], Any] | None = None,
        description: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Decorator:
        """The view answers with what `write` makes of its value, or with its own `Response`."""

        def decorate(view: Any) -> Any:
            @wraps(view)
            def answering(*args: Any, **kwargs: Any) -> Response:
                value = view(*args, **kwargs)
                if isinstance(value, Response):
                    return value
                return wire.Answer(write(value) if write else value, status)

            return self.may_answer(
                status, schema, example=example, description=description, headers=headers
            )(answering)

        return decorate

    def may_answer(
        self,
        status: int,
        schema: Any,
        *,
        example: Any = None,
        description: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> Decorator:
        """The view has another answer, which it makes itself."""
        described = {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in (headers or {}).items()
        }

        def decorate(view: Any) -> Any:
            return document(
                view,
                self.response(
                    status,
                    schema,
                    example=example,
                    description=description,
                    headers=described or None,
                    content_type=content_type,
                ),
            )

        return decorate

    def says(self, **described: Any) -> Decorator:
        """The document says this of the view, in OpenAPI's own words."""
        return lambda view: document(view, self.doc(**described))

    def raises(self, *words: type[Exception]) -> Decorator:
        """The view may refuse with any of these words, which `api.errors` puts into HTTP."""

        def decorate(view: Any) -> Any:
            view.refusals = (*words, *getattr(view, "refusals", ()))
            return view

        return decorate

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *args: Any,
        **options: Any,
    ) -> None:
        """Register a view, and document all it may refuse with, by status."""
        for status, words in by_status(getattr(view_func, "refusals", ())).items():
            document(
                view_func,
                self.alt_response(
                    status,
                    schema=ErrorBody,
                    description=" ".join(errors.sentence(word) for word in words),
                    examples={word.__name__: {"value": errors.example(word)} for word in words},
                ),
            )
        super().add_url_rule(rule, endpoint, view_func, *args, **options)


def document(view: Any, decorator: Callable[[Any], Any]) -> Any:
    """Keep what a flask-smorest decorator says about this view, and drop the wrapper it makes."""
    view._apidoc = decorator(view)._apidoc
    return view


def named(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in examples.items()}


def by_status(words: tuple[type[Exception], ...]) -> dict[int, list[type[Exception]]]:
    """The words in groups of the same HTTP status, each once."""
    groups: dict[int, list[type[Exception]]] = {}
    for word in dict.fromkeys(words):
        groups.setdefault(errors.status(word), []).append(word)
    return dict(sorted(groups.items()))
