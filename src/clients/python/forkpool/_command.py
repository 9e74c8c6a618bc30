"""The command forkpool as a child process: how it is found, started, fed, read and ended."""
from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from typing import Any, Callable, Iterator, Sequence, Union

from ._errors import PoolError

# A file with a function, or a program with its arguments.
Handler = Union[str, "os.PathLike[str]", Sequence[Union[str, "os.PathLike[str]"]]]
# Bytes that are read or written at a time: what a pipe of Linux holds.
_PIECE = 1 << 16


class Command:
    def __init__(self, handler: Handler, options: dict[str, Any]):
        words = _words(handler, options)
        # The signal of a reload that comes before forkpool has a handler for it must not end forkpool.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            # In a session of its own it gets no Ctrl-C of the terminal, which is for this program to obey.
            self.child: Any = subprocess.Popen(words, bufsize=0, stdin=-1, stdout=-1, stderr=-1, start_new_session=True)
        except OSError as error:
            raise PoolError(f"{words[0]} cannot be started: {error.strerror}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._said: collections.deque[str] = collections.deque(maxlen=20)
        self._listener = thread(self._listen, options.get("quiet") is False)
        # Ends the workers at once. At the end of the program it is called too.
        self.kill = weakref.finalize(self, _kill, self.child)

    def records(self) -> Iterator[list[dict[str, Any]]]:
        """The records, in lists of those that have come since the last."""
        rest: list[bytes] = []
        with self.child.stdout as stdout:
            while piece := stdout.read(_PIECE):
                end = piece.rfind(b"\n")
                if end < 0:
                    rest.append(piece)
                    continue
                lines, rest = b"".join([*rest, piece[:end]]), [piece[end + 1 :]]
                # One call for all of them is several times as fast. A line break inside of a record is escaped.
                yield json.loads(b"[" + lines.replace(b"\n", b",") + b"]")

    def end(self) -> None:
        """Waits for the end. Raises PoolError if not all jobs were run."""
        status = self.child.wait()
        self._listener.join()
        if status not in (0, 1):
            said = "".join(self._said).strip()
            raise PoolError(said or f"forkpool has ended with status {status}", status)

    def _listen(self, is_shown: bool) -> None:
        with io.TextIOWrapper(self.child.stderr, errors="replace") as stderr:
            for line in stderr:
                self._said.append(line)
                if is_shown:
                    sys.stderr.write(line)


class Feeder:
    """Takes jobs from an iterator and writes them, on threads of its own. Where the pipe is full it takes no more."""

    def __init__(self, stdin: Any, jobs: Iterator[Any]):
        # What the iterator, or the encoding of a job, has raised.
        self.failure: BaseException | None = None
        self.is_over = False
        self._stdin, self._jobs = io.BufferedWriter(stdin, _PIECE), jobs
        # Open while there is something to flush.
        self._gate = threading.Lock()
        thread(self._feed)
        thread(self._flush)

    def _feed(self) -> None:
        try:
            for job in self._jobs:
                if self.is_over:
                    break
                self._stdin.write(encode(job))
                if self._gate.locked():
                    self._gate.release()
        except BrokenPipeError:
            pass  # forkpool has ended, and says why.
        except BaseException as error:
            self.failure = error
        self.is_over = True
        if self._gate.locked():
            self._gate.release()

    def _flush(self) -> None:
        """Gets its turn when the iterator waits or Python changes threads: a job that is alone goes at once, and many
        go together."""
        with contextlib.suppress(OSError):  # forkpool has ended, and says why.
            while not self.is_over:
                self._gate.acquire()
                self._stdin.flush()
        with contextlib.suppress(OSError):
            self._stdin.close()


def _encoder() -> Callable[[Any], str]:
    """What turns a value into JSON. `JSONEncoder.encode` makes an encoder in C for each value, which takes half of its
    time; here there is one for all, where this Python has it."""
    slow = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
    try:
        text = json.encoder.encode_basestring_ascii
        pieces = getattr(json.encoder, "c_make_encoder")(None, slow.default, text, None, ":", ",", False, False, False)
        if "".join(pieces({"name": [1, None]}, 0)) == '{"name":[1,null]}':
            return lambda job: "".join(pieces(job, 0))
    except (AttributeError, TypeError):
        pass
    return slow.encode


_to_json = _encoder()


def encode(job: Any) -> bytes:
    return b"%b\n" % _to_json(job).encode()


def thread(target: Any, *args: Any) -> threading.Thread:
    started = threading.Thread(target=target, args=args, name="forkpool", daemon=True)
    started.start()
    return started


def _words(handler: Handler, options: dict[str, Any]) -> list[str]:
    words = [_find(), "--to=ndjson"]
    for name, value in {"quiet": True, **options}.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None and one is not False:
                words.append(flag if one is True else f"{flag}={one}")
    if not isinstance(handler, (str, os.PathLike)):
        return [*words, "--", *[os.fspath(word) for word in handler]]
    file = os.fspath(handler)
    if re.search(r"\.py(:\w+)?$", file) and not {"runtime", "host", "hosts"} & options.keys():
        # The Python that this program runs under has the modules that it has.
        words.append("--runtime=" + shlex.quote(sys.executable or "python3"))
    return [*words, f"--handler={file}"]


def _find() -> str:
    beside = os.path.join(os.path.dirname(__file__), "bin", "forkpool")
    found = os.environ.get("FORKPOOL") or (beside if os.path.isfile(beside) else shutil.which("forkpool"))
    if not found:
        raise PoolError("forkpool is not installed\nhint: put it on the PATH, or its path into the variable FORKPOOL")
    return found


def _kill(child: Any) -> None:
    # The second signal ends forkpool at once. One of them may be ignored, as SIGINT is in the background of a script.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        child.send_signal(number)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
