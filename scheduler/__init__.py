"""The clock: the process that keeps time for all tasks, and its duties."""
