"""The usual stack: FastAPI takes tasks, Celery runs them, PostgreSQL has a row for each."""
