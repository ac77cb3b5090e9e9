"""`python -m api` is the web process of the Procfile; with a command it does that and ends."""

import sys

import logs
import settings
from api import commands
from api.keyring import refuse_without_keys
from api.serving import serve
from settings import SettingError
from tasks import database
from tasks.errors import NoKeys


def main(arguments: list[str]) -> int:
    asked = commands.read(arguments) if arguments else None
    if asked and commands.needs_no_settings(asked):
        return commands.run(asked)
    chosen = settings.load()
    logs.configure(chosen)
    database.open(chosen.database_url)
    if asked:
        return commands.run(asked)
    if chosen.auth:
        refuse_without_keys()
    database.close()
    serve(chosen)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (SettingError, NoKeys) as problem:
        sys.exit(str(problem))
