"""Workers: the processes that run handlers, and the handlers themselves."""


def run(task_id: str) -> None:
    """What every RQ job names: the complete attempt at one task (start, run, settle).

    Our own worker never calls it: it starts and settles in sets. A stock `rq worker` does, and
    so also runs tasks right, one at a time.
    """
    from jobs.single import attempt  # RQ imports this package in processes that never run a job

    attempt(task_id)
