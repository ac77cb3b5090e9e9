"""The small stack: Flask takes tasks, RQ runs them through Redis, PostgreSQL has a row for each."""
