"""The web server: granian, which was ahead of gunicorn by measurement."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from api.interrupt import Interrupt

if TYPE_CHECKING:
    from settings import Settings

HEADERS_WITHIN = 10_000  # milliseconds a client has to send its headers, however slowly
ENDS = (signal.SIGTERM, signal.SIGINT)
LOGGERS = ("_granian", "granian.access")


def serve(settings: Settings) -> None:
    """Answer until SIGTERM, and replace a web process that dies."""
    refuse_taken_port(settings.api_host, settings.api_port)
    logging.getLogger("_granian").addFilter(threads_are_meant)
    os.register_at_fork(
        before=hold_signals, after_in_parent=let_signals_through, after_in_child=forget_handlers
    )
    gc.freeze()  # what is loaded stays: web processes share it, and nobody searches it at the end
    server = Granian(
        "wsgi:app",
        interface=Interfaces.WSGI,
        address=settings.api_host,
        port=settings.api_port,
        workers=settings.web_processes,
        blocking_threads=settings.web_threads,
        backpressure=settings.web_threads,  # so that no request waits for a thread of another
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN),
        websockets=False,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=max(1, int(settings.shutdown_grace)),
        log_dictconfig={
            "handlers": {},
            "formatters": {},
            "loggers": {name: {} for name in LOGGERS},
        },
    )
    server.main_loop_interrupt = Interrupt()
    server.serve()


def refuse_taken_port(host: str, port: int) -> None:
    """End with a sentence if somebody listens there: granian would share the port with them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            sys.exit(f"Cannot listen on {host}:{port} (API_HOST, API_PORT): {problem.strerror}.")


def hold_signals() -> None:
    """Let none arrive in a child that still has its parent's handlers, where it would be lost."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)


def let_signals_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)


def forget_handlers() -> None:
    """Let SIGTERM end a web process that has no handler of its own yet, not run its parent's."""
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)
    let_signals_through()


def threads_are_meant(record: logging.LogRecord) -> bool:
    """Drop granian's warning of more threads than processors: most requests of ours wait."""
    return "Python threads, which seems quite high" not in record.getMessage()
