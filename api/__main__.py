"""`python -m api` is the web process of the Procfile; with a command it does that and ends."""

import sys

import logs
import settings
from api import commands, ending
from api.keyring import refuse_without_keys
from api.serving import serve
from settings import SettingError
from tasks import broker, database
from tasks.errors import NoKeys, UnfitServer

PATIENCE = 2.0  # seconds Redis has to say what it is


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
    redis = broker.connect(chosen.redis_url, patience=PATIENCE, verify_tls=chosen.redis_tls_verify)
    broker.refuse_unfit(redis)
    redis.close()
    serve(chosen)
    return 0 if ending.could_begin() else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (SettingError, NoKeys, UnfitServer) as problem:
        sys.exit(str(problem))
