"""Hands jobs to warm worker processes from inside a program: a small client of the command forkpool.

    for record in forkpool.run("pet.py", jobs, workers=8, timeout=5): ...

    with forkpool.Pool("pet.py", workers=8) as pool:
        pool.submit(job).result()                       # in a coroutine: await pool.run(job)

Every option of the command is a keyword: `start_timeout=5` is --start-timeout=5, True is a flag without a value, a list
repeats the flag, None and False leave it out, and an underscore at the end is dropped (`from_`). Handlers in Python
run under the Python of the program. With quiet=False the workers' logs and the summary are shown. Order, retries,
limits and the life of the workers are the command's; there is nothing of that here.
"""
from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, AsyncIterable, AsyncIterator, Iterable, Iterator

from ._command import Command, Feeder, Handler, encode, thread
from ._errors import JobError, PoolError

if TYPE_CHECKING:
    import asyncio  # Else only where coroutines are used: it takes longer to load than the rest.

__all__ = ["JobError", "Pool", "PoolError", "Run", "run"]
JobError.__module__ = PoolError.__module__ = __name__  # As people import them, in messages and pickles.


def run(handler: Handler, jobs: Iterable[Any] | AsyncIterable[Any], *, records: bool = True, **options: Any) -> Run:
    """Runs all jobs. What comes back is gone through with `for` or `async for`: a record for each job, in their order.
    Jobs are taken by another thread, only as far ahead as pipes and window reach. With records=False the results
    come instead, and the first job that has failed raises its JobError."""
    return Run(handler, jobs, records, options)


class Run:
    """What `run` returns. Each loop over it is a run of its own; one that is left early ends its workers."""

    def __init__(self, handler: Handler, jobs: Any, records: bool, options: dict[str, Any]):
        self._handler, self._jobs, self._records, self._options = handler, jobs, records, options

    def __iter__(self) -> Iterator[Any]:
        jobs, command = iter(self._jobs), Command(self._handler, self._options)
        feeder = Feeder(command.child.stdin, jobs)
        try:
            for records in command.records():
                yield from records if self._records else map(_result, records)
            if feeder.failure:  # The jobs before it have had their records.
                raise feeder.failure
            command.end()
        finally:
            feeder.is_over = True
            command.kill()

    async def __aiter__(self) -> AsyncIterator[Any]:
        import asyncio

        ahead: asyncio.Queue[Any] = asyncio.Queue(int(self._options.get("window") or 1024))
        async with Pool(self._handler, records=self._records, **self._options) as pool:
            feeder = asyncio.ensure_future(self._feed(pool, ahead))
            try:
                while (future := await ahead.get()) is not None:
                    yield await asyncio.wrap_future(future)
                await feeder
            finally:
                feeder.cancel()

    async def _feed(self, pool: Pool, ahead: asyncio.Queue[Any]) -> None:
        try:
            async for job in self._jobs if hasattr(self._jobs, "__aiter__") else _steps(self._jobs):
                await ahead.put(pool.submit(job))
        except Exception:
            await ahead.put(None)
            raise
        await ahead.put(None)


class Pool:
    """Workers that wait for jobs. Leaving `with` waits for all jobs; leaving it by an exception ends them at once."""

    def __init__(self, handler: Handler, *, records: bool = False, **options: Any):
        self._command = Command(handler, {"unordered": True, **options})
        self._records, self._is_closed, self._is_killed = records, False, False
        self._ended = PoolError("the pool has ended")  # or why it has failed
        self._lock, self._count = threading.Lock(), 0
        self._open: dict[int, Future[Any]] = {}
        self._unsent: SimpleQueue[bytes] = SimpleQueue()
        self._reader = thread(self._read)
        thread(self._write)

    def submit(self, job: Any) -> Future[Any]:
        """Hands a job over, without waiting. The future has its result or JobError; with records=True, its record."""
        line = encode(job)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # A job that forkpool has cannot be taken back.
        with self._lock:
            if self._is_closed:
                raise self._ended
            self._count += 1  # The number that forkpool gives this job.
            self._open[self._count] = future
            self._unsent.put(line)
        return future

    async def run(self, job: Any) -> Any:
        """What the future of `submit` has, for coroutines."""
        import asyncio

        return await asyncio.wrap_future(self.submit(job))

    def reload(self) -> None:
        """Replaces the workers, one after the other and each after its job: an edited handler is taken over."""
        self._command.child.send_signal(signal.SIGUSR2)

    def close(self) -> None:
        """Waits until all jobs are answered, and ends the workers. Raises PoolError if the pool has failed."""
        self._stop()
        try:
            self._reader.join()
        except BaseException:
            self.kill()
            raise
        self._command.end()

    def kill(self) -> None:
        """Ends the workers at once. A job that has no answer yet gets a PoolError."""
        self._is_killed = True
        self._stop()
        self._command.kill()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.kill() if kind else self.close()

    async def __aenter__(self) -> Pool:
        return self

    async def __aexit__(self, kind: Any, *_: Any) -> None:
        import asyncio

        await asyncio.to_thread(self.__exit__, kind)

    def _stop(self) -> None:
        with self._lock:
            self._is_closed = True
            self._unsent.put(b"")

    def _write(self) -> None:
        """Writes on a thread of its own, so that neither `submit` nor the callback of a future waits for forkpool."""
        stdin, lines = self._command.child.stdin, [b"\n"]
        try:
            while lines[-1]:
                lines = [self._unsent.get()]
                lines += [self._unsent.get() for _ in range(self._unsent.qsize())]
                piece = memoryview(b"".join(lines))
                while piece:
                    piece = piece[stdin.write(piece) :]
        except BrokenPipeError:
            pass  # forkpool has ended, which `_read` tells.
        stdin.close()

    def _read(self) -> None:
        words = "forkpool has ended before it had the job"
        try:
            for records in self._command.records():
                for record in () if self._is_killed else records:
                    future = self._open.pop(record["job"])
                    if self._records or record["status"] == "ok":
                        future.set_result(record if self._records else record["data"])
                    else:
                        future.set_exception(JobError(record))
            self._command.end()
        except PoolError as error:
            self._ended, words = error, error.message
        except Exception as error:  # A record that Python cannot hold: too deep, or a number of thousands of digits.
            words = f"a record cannot be read: {error}"
            self._command.kill()
        self._stop()
        for future in self._open.values():
            future.set_exception(PoolError(words, self._command.child.returncode))


async def _steps(jobs: Iterable[Any]) -> AsyncIterator[Any]:
    for job in jobs:
        yield job


def _result(record: dict[str, Any]) -> Any:
    if record["status"] == "ok":
        return record["data"]
    raise JobError(record)
