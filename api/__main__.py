"""`python -m api` is the web process of the Procfile."""

import sys

import logs
import settings
from api.serving import serve
from settings import SettingError


def main() -> None:
    chosen = settings.load()
    logs.configure(chosen)
    serve(chosen)


if __name__ == "__main__":
    try:
        main()
    except SettingError as problem:
        sys.exit(str(problem))
