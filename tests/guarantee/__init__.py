"""The promise, tried at every step: kill, pause, error, lost connections, lost answers."""
