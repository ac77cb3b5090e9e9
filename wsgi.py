"""The web entry for any WSGI server, `wsgi:app`; `python -m api` runs it on ours."""

import gc

import logs
import settings
from api import create_app, ending, slow_bodies
from jobs.handlers import SHIPPED
from tasks import catalog

configuration = settings.load()
logs.configure(configuration)
with ending.none_if_not_this_one():
    catalog.load((*SHIPPED, *configuration.task_modules))
    app = create_app(configuration)
ending.end_with_parent()
ending.let_waiters_go_at_the_end(app)
slow_bodies.watch(configuration.api_port, configuration.web_threads)
gc.collect()
gc.freeze()  # the application stays: a full collection that searched it paused all for 75 ms
