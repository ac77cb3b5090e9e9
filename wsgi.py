"""The web entry for any WSGI server: `wsgi:app`."""

import logs
import settings
from api import create_app

configuration = settings.load()
logs.configure(configuration)
app = create_app(configuration)
