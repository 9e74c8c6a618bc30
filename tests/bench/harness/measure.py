"""Runs one contender once, and checks what it wrote."""
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional


@dataclass
class Contender:
    key: str
    name: str
    # The command. It reads `stdin`, if there is one, and writes to its stdout.
    argv: list
    jobs: Path
    count: int
    stdin: Optional[Path] = None
    # How a line of its output looks: see `expected`.
    form: str = "records"
    ordered: bool = True
    env: dict = field(default_factory=dict)
    # Files that it writes besides. They are not there before.
    writes: list = field(default_factory=list)
    # The memory of all its processes is measured, with what they share counted once, and not only that of the runner.
    with_children: bool = False
    # Why it cannot run here.
    missing: Optional[str] = None


@dataclass
class Run:
    """Seconds on the clock and of the processors (workers included), and the runner's peak memory in bytes."""

    wall: float
    cpu: float
    memory: int


class Wrong(Exception):
    """The output is not what it must be."""


def run(contender, bench):
    out, err = bench.scratch / "out", bench.scratch / "err"
    env = {**bench.env, **contender.env}
    for path in contender.writes:
        path.unlink(missing_ok=True)
    with open(contender.stdin or os.devnull, "rb") as stdin, open(out, "wb") as stdout, open(err, "wb") as stderr:
        begin = time.perf_counter()
        child = subprocess.Popen(contender.argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
        memory = (PeakShares if contender.with_children else PeakMemory)(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
    peak = memory.stop()
    try:
        if child.returncode != 0:
            raise Wrong(f"exit status {child.returncode}")
        check(out, contender)
        for path in contender.writes:
            if not path.exists() or path.stat().st_size == 0:
                raise Wrong(f"nothing in {path.name}")
    except Wrong as wrong:
        words = err.read_text(errors="replace")[-2000:]
        raise Wrong(f"{contender.name}: {wrong}\n{' '.join(map(str, contender.argv))[:500]}\n{words}") from None
    return Run(wall, usage.ru_utime + usage.ru_stime, peak)


class PeakMemory:
    """The high-water mark of one process. The usage that wait4 tells is also that of its largest child, and of
    the harness before it became the contender, so the system is asked while it runs."""

    def __init__(self, pid):
        self.status = f"/proc/{pid}/status"
        self.peak = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.peak

    def _watch(self):
        # Not at once: the mark is the contender's own only after its exec.
        while not self.ended.wait(0.02):
            try:
                with open(self.status, encoding="ascii") as status:
                    mark = next((line for line in status if line.startswith("VmHWM")), None)
            except OSError:
                return
            if mark:
                self.peak = max(self.peak, int(mark.split()[1]) * 1024)


class PeakShares(PeakMemory):
    """The most that a process and all its descendants had at one time, each page counted in equal parts for those that
    share it (PSS)."""

    def _watch(self):
        root = self.status.split("/")[2]
        # The kernel walks through all pages for it, and the processes wait meanwhile.
        while not self.ended.wait(0.1):
            self.peak = max(self.peak, sum(map(self._share, self._family(root))))

    def _family(self, pid):
        yield pid
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                    for child in children.read().split():
                        yield from self._family(child)
        except OSError:
            pass  # it has ended

    def _share(self, pid):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                return next((int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:")), 0)
        except OSError:
            return 0


def check(out, contender):
    """Every job answered once, with its own value; in order, where that is promised."""
    with open(out, "rb") as lines, open(contender.jobs, "rb") as jobs:
        # What a supplied worker says first is no answer.
        answers = (line for line in lines if not line.startswith(b'{"status":'))
        wanted = expected(jobs, contender.form)
        if not contender.ordered:
            answers, wanted = iter(sorted(answers)), iter(sorted(wanted))
        at = 0
        for at, want in enumerate(wanted, 1):
            got = next(answers, None)
            if got is None:
                raise Wrong(f"{at - 1} answers to {contender.count} jobs")
            if got != want and not same(got, want):
                raise Wrong(f"answer {at} is {got[:200]!r}, not {want[:200]!r}")
        if at != contender.count or next(answers, None) is not None:
            raise Wrong(f"more than {contender.count} answers")


def expected(jobs, form):
    if form == "records":
        return (b'{"job":%d,"status":"ok","data":%s}\n' % (at, job[:-1]) for at, job in enumerate(jobs, 1))
    if form == "wire":
        return (b'{"id":%d,"status":"ok","data":%s}\n' % (at, job[:-1]) for at, job in enumerate(jobs, 1))
    assert form == "values"
    return iter(jobs)


def same(got, want):
    """Blanks between the tokens are nobody's business."""
    try:
        return json.loads(got) == json.loads(want)
    except ValueError:
        return False
