"""A Flask application that does for a request only what a request of ours needs."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

Program = Callable[[dict[str, Any], Any], Iterable[bytes]]  # a WSGI application


class Application(Flask):
    """Flask with other applications mounted in it. Its views are plain functions, never async."""

    def __init__(self, import_name: str) -> None:
        super().__init__(import_name)
        self.mounted: dict[str, Program] = {}  # by the first word of their paths

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func  # Flask looks at each function of each request for being a coroutine's

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Any:
        path: str = environ["PATH_INFO"]
        first, slash, rest = path[1:].partition("/")
        program = self.mounted.get(first)
        if program is None:
            return super().wsgi_app(environ, start_response)
        environ |= {"SCRIPT_NAME": f"{environ['SCRIPT_NAME']}/{first}", "PATH_INFO": slash + rest}
        return program(environ, start_response)
