"""What goes wrong: a job, or the pool itself."""
from __future__ import annotations

from typing import Any


class JobError(Exception):
    """A job has failed. What its handler threw is in name, message, stack and code, its cause in `__cause__`."""

    def __init__(self, record: dict[str, Any]):
        super().__init__(record)
        error = record["error"]
        self.record, self.status = record, record.get("status")
        self.name, self.message = error.get("name"), error.get("message")
        self.stack, self.code = error.get("stack"), error.get("code")
        if isinstance(error.get("cause"), dict):
            self.__cause__ = JobError({"error": error["cause"]})

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class PoolError(Exception):
    """The pool itself has failed. `status` is the exit status of forkpool, negative for a signal."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message, status)
        self.message, self.status = message, status

    def __str__(self) -> str:
        return self.message
