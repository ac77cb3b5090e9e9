"""What an operator does at the command line: make, rotate and end API keys, make payload keys.

    python -m api keys create NAME SCOPE … [--queue NAME …] [--expires 90d] [--rate 100]
    python -m api keys list
    python -m api keys rotate ID [--overlap 24h]
    python -m api keys expire ID AFTER
    python -m api keys revoke ID
    python -m api payload-key [VERSION]

A new token or key is the only thing written to standard output, so that a script can take it.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import timedelta

from tasks import key_actions, key_store, sealing
from tasks.actions import Client
from tasks.database import sessions
from tasks.errors import InvalidKey, TaskQueueError
from tasks.keys import MEANINGS, Scope
from tasks.models import ApiKey

OPERATOR = Client("cli")  # who acts, for the audit: somebody with the database's password
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"(\d{1,9})([smhd])")


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for; argparse explains a wrong one and exits."""
    scopes = "\n".join(f"  {scope:<17} {meaning}" for scope, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(prog="python -m api", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    key = commands.add_parser("keys", help="API keys: who may ask for what")
    acts = key.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser(
        "create",
        help="make a key and print its token",
        epilog=f"scopes:\n{scopes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    create.add_argument("name", help="what people call it")
    create.add_argument("scopes", nargs="+", choices=list(map(str, Scope)), metavar="SCOPE")
    create.add_argument("--queue", action="append", default=[], help="the only queue names it uses")
    create.add_argument("--expires", type=duration, help="how long it is valid, as in 90d")
    create.add_argument("--rate", type=float, help="tasks it may submit per second")
    acts.add_parser("list", help="show every key, never its token")
    rotate = acts.add_parser("rotate", help="give a key a new token and print it")
    rotate.add_argument("id")
    rotate.add_argument(
        "--overlap", type=duration, default="24h", help="how long the old token stays valid"
    )
    expire = acts.add_parser("expire", help="let a key end by itself")
    expire.add_argument("id")
    expire.add_argument("after", type=duration, help="how long from now, as in 7d")
    revoke = acts.add_parser("revoke", help="end a key, everywhere within seconds")
    revoke.add_argument("id")

    new = commands.add_parser("payload-key", help="print a key for PAYLOAD_KEYS")
    new.add_argument("version", nargs="?", default="1", help="another for each key, as in 2")
    return parser.parse_args(arguments)


def duration(text: str) -> timedelta:
    found = DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("a number and a unit: 30s, 15m, 24h or 90d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def needs_no_settings(asked: argparse.Namespace) -> bool:
    return bool(asked.command == "payload-key")


def run(asked: argparse.Namespace) -> int:
    """Do what was asked, with the database open; the exit code."""
    try:
        if asked.command == "payload-key":
            print_alone(f"{asked.version}:{sealing.new_key()}")
        else:
            run_for_keys(asked)
    except InvalidKey as invalid:
        for field, messages in invalid.messages.items():
            tell(f"{field}: {' '.join(messages)}")
        return 1
    except TaskQueueError as problem:
        tell(str(problem))
        return 1
    return 0


def run_for_keys(asked: argparse.Namespace) -> None:
    if asked.act == "create":
        key, token = key_actions.create(
            OPERATOR,
            asked.name,
            asked.scopes,
            queue_names=asked.queue,
            lifetime=asked.expires,
            submit_rate=asked.rate,
        )
        tell(f"Made the key {key.id}. This is its token; it is not shown again.")
        print_alone(token)
    elif asked.act == "rotate":
        key, token = key_actions.rotate(OPERATOR, asked.id, asked.overlap)
        tell(f"The old token of {key.id} is valid for {asked.overlap} more. This is the new one:")
        print_alone(token)
    elif asked.act == "expire":
        key = key_actions.expire(OPERATOR, asked.id, asked.after)
        tell(f"The key {key.id} ends at {key.expires_at:%Y-%m-%d %H:%M %Z}.")
    elif asked.act == "revoke":
        tell(f"The key {key_actions.revoke(OPERATOR, asked.id).id} is revoked.")
    else:
        with sessions.begin() as session:
            for key in key_store.every(session):
                print_alone(line_of(key))


def line_of(key: ApiKey) -> str:
    """A key as one line for people."""
    state = "valid"
    if key.revoked_at:
        state = f"revoked {key.revoked_at:%Y-%m-%d}"
    elif key.expires_at:
        state = f"until {key.expires_at:%Y-%m-%d %H:%M}"
    used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
    bound = f" on {','.join(key.queue_names)}" if key.queue_names else ""
    return f"{key.id}  {key.name}  {','.join(key.scopes)}{bound}  {state}  {used}"


def print_alone(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
