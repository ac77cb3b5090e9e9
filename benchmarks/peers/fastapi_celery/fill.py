"""Make the table, or so many pending tasks: `python -m fastapi_celery.fill 1000`."""

import sys
import uuid

from sqlalchemy import insert

from fastapi_celery.record import Record, Session, Task, engine
from fastapi_celery.worker import app, run_task


def main(count: int) -> None:
    Record.metadata.create_all(engine)
    ids = [uuid.uuid4() for _ in range(count)]
    rows = [{"id": each, "name": "nothing", "payload": {}} for each in ids]
    with Session.begin() as session:
        session.execute(insert(Task), rows) if rows else None
    with app.producer_or_acquire() as producer:
        for each in ids:
            run_task.apply_async([str(each)], producer=producer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
