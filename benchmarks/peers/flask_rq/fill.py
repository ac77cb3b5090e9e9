"""Make the table: `python -m flask_rq.fill`."""

from fastapi_celery.record import Record, engine

if __name__ == "__main__":
    Record.metadata.create_all(engine)
