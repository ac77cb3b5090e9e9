"""Faults of PostgreSQL: it dies, hangs, ends sessions, locks, has no connection left."""

from __future__ import annotations

from contextlib import closing, suppress

import psycopg2

from chaos.faults.fault import fault
from chaos.scene import Scene
from chaos.stage import Stage

COMMIT = b"COMMIT"


@fault("postgres", "restart, fast", 4)
def restart_fast(scene: Scene) -> None:
    scene.stage.postgres.restart("fast")
    scene.struck()


@fault("postgres", "restart, immediate", 4)
def restart_immediate(scene: Scene) -> None:
    scene.stage.postgres.restart("immediate")
    scene.struck()


@fault("postgres", "down for longer than a lease", 8)
def down(scene: Scene) -> None:
    postgres = scene.stage.postgres
    postgres.stop()
    try:
        scene.linger(scene.lease * 1.5)
    finally:
        postgres.start()


@fault("postgres", "kill -9 of the postmaster", 4)
def kill(scene: Scene) -> None:
    scene.until_busy(scene.a_worker())  # a start that has not come to the disk is lost
    scene.stage.postgres.kill()
    scene.linger(0.5)
    scene.stage.postgres.start()


@fault("postgres", "hung for longer than a lease: SIGSTOP", 6)
def hang(scene: Scene) -> None:
    postgres = scene.stage.postgres
    postgres.pause()
    try:
        scene.linger(scene.lease * 1.5)
    finally:
        postgres.resume()


@fault("postgres", "every session ended, again and again", 3)
def terminate_backends(scene: Scene) -> None:
    for _ in range(6):
        with suppress(psycopg2.Error):
            scene.stage.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        scene.linger(0.4)


@fault("postgres", "the answers to COMMITs are lost", 3)
def lose_commits(scene: Scene) -> None:
    """It was done, and nobody is told."""
    links = [member.postgres for member in scene.crew.members]
    for link in scene.chance.sample(links, len(links)):
        with link.lose_answers(COMMIT, times=3):
            scene.linger(0.6)


@fault("postgres", "the table is locked", 4)
def lock(scene: Scene) -> None:
    with scene.stage.connection() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        cursor.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
        scene.linger(4)
        cursor.execute("ROLLBACK")


@fault("postgres", "rows are locked", 4)
def lock_rows(scene: Scene) -> None:
    with scene.stage.connection() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM tasks WHERE finished_at IS NULL LIMIT 50 FOR UPDATE")
        cursor.execute("SELECT FROM workers FOR UPDATE")
        scene.linger(2.5)
        cursor.execute("ROLLBACK")


@fault("postgres", "no connection left", 5)
def use_up_connections(scene: Scene) -> None:
    taken = []
    try:
        for _ in range(100):
            with suppress(psycopg2.Error):
                taken.append(connect(scene.stage))
        with suppress(psycopg2.Error):
            taken[0].cursor().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'task-queue'"
            )
        for _ in range(20):
            with suppress(psycopg2.Error):
                taken.append(connect(scene.stage))
        scene.linger(3)
    finally:
        for connection in taken:
            with closing(connection):
                pass


def connect(stage: Stage) -> psycopg2.extensions.connection:
    connection = psycopg2.connect(stage.database_url, connect_timeout=2, application_name="chaos")
    connection.autocommit = True
    return connection
