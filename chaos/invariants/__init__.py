"""The invariants: of what was promised, of each task's life, of executions, of the service."""

from chaos.invariants import lives, of_executions, of_the_service, promises

__all__ = ["lives", "of_executions", "of_the_service", "promises"]
