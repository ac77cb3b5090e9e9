"""The user PostgreSQL runs as when we are root, which it refuses."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NamedTuple

CANDIDATES = ("nobody", "postgres", "daemon")


class User(NamedTuple):
    uid: int
    gid: int


def user_for(data: Path) -> User | None:
    """Somebody other than root, preferably who already owns the data; None when we are not root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return User(owner.st_uid, owner.st_gid)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    others = [entry for entry in known.values() if entry.pw_uid != 0]
    entry = next((known[name] for name in CANDIDATES if name in known), others[0])
    return User(entry.pw_uid, entry.pw_gid)


def may_reach(user: User, path: Path) -> bool:
    """Whether the user may pass through every folder above `path`, as far as its mode tells."""
    return all(may_enter(user, folder.stat()) for folder in path.resolve().parents)


def may_enter(user: User, folder: os.stat_result) -> bool:
    if folder.st_uid == user.uid:
        return bool(folder.st_mode & 0o100)
    if folder.st_gid == user.gid:
        return bool(folder.st_mode & 0o010)
    return bool(folder.st_mode & 0o001)


def give(data: Path, user: User) -> None:
    """Hand a folder and all in it to the user."""
    if data.stat().st_uid == user.uid:
        return
    for folder, _, files in os.walk(data):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
