"""How each contender is called."""
import os

from .measure import Contender
from .prepare import PEERS, WORKERS

ENDING = {"node": "mjs", "python": "py"}
# The way a supplied worker is started: its channel is descriptors 3 and 4.
PRIVATE = '"$@" 3<&0 4>&1 0</dev/null 1>&2'


class Contenders:
    """Makes the contenders of one scenario in one language. `job(n)` is the text of the n-th job."""

    def __init__(self, bench, language, name, job, env=None):
        self.bench, self.language, self.name, self.job = bench, language, name, job
        self.env = env or {}

    def _make(self, key, name, argv, count, **more):
        jobs = self.bench.jobs_file(f"{self.name}-{count}", map(self.job, range(1, count + 1)))
        argv = [str(jobs) if word is JOBS else word for word in argv]
        contender = Contender(f"{self.language}/{key}", name, argv, jobs, count, env=self.env, **more)
        if contender.stdin is JOBS:
            contender.stdin = jobs
        elif contender.stdin is WIRE:
            contender.stdin = self.bench.wire_file(jobs)
        return contender

    # ---- The limit ----

    def bare(self, count):
        return self._make(
            "bare", "bare pipe: program < jobs > out", self.bench.worker(self.language), count, stdin=WIRE, form="wire"
        )

    def bare_between_pipes(self, count):
        """What a pool can reach that is itself quicker than its worker: a pipe on both sides of it."""
        argv = ["sh", "-c", 'cat | "$@" | cat', "sh", *self.bench.worker(self.language)]
        return self._make(
            "bare-pipes", "bare pipes: cat jobs, program, cat > out", argv, count, stdin=WIRE, form="wire"
        )

    def bare_handler(self, count):
        """The supplied worker in a pipe, by itself; none for a language that has none."""
        if self.language not in ENDING:
            return None
        shim = self.bench.shims[ENDING[self.language]]
        # From a pipe, since that is what it is made for: Node has no event loop for files.
        argv = ["sh", "-c", f"cat | {PRIVATE}", "sh", *(shim or [])]
        return self._make(
            "handler-bare", "bare pipe: cat jobs, supplied worker > out", argv, count,
            stdin=WIRE, form="wire", missing=None if shim else NO_SHIM,
        )

    # ---- forkpool ----

    def forkpool(self, count, workers, depth, *more):
        argv = [self.bench.forkpool, f"-j{workers}", "--depth", depth, *more, "--", *self.bench.worker(self.language)]
        name = f"forkpool -j{workers} --depth {depth} -- program"
        return self._make(f"{depth}/{workers}", name, argv, count, stdin=JOBS)

    def forkpool_handler(self, count, workers, *more, key=None, **fields):
        if self.language not in ENDING:
            return None
        ending = ENDING[self.language]
        runtime = " ".join({"mjs": self.bench.node, "py": self.bench.python}[ending])
        handler = str(WORKERS / f"handler.{ending}")
        argv = [self.bench.forkpool, f"-j{workers}", *more, "--runtime", runtime, "--handler", handler]
        missing = None if self.bench.shims[ending] else NO_SHIM
        name = " ".join(["forkpool", f"-j{workers}", *more, "--handler"])
        return self._make(key or f"handler/{workers}", name, argv, count, stdin=JOBS, missing=missing, **fields)

    # ---- Pools ----

    def lockstep(self, count, workers):
        argv = [self.bench.lockstep, str(workers), *self.bench.worker(self.language)]
        name = f"lock-step pool in C, {workers} worker(s)"
        return self._make(f"lockstep/{workers}", name, argv, count, stdin=JOBS)

    def pools(self, count, workers, chunked):
        """The language's own pools; those that send jobs in chunks get `chunked` jobs."""
        return self._node_pools(count, workers) if self.language == "node" else self._python_pools(count, workers, chunked)

    def _node_pools(self, count, workers):
        missing = None if self.bench.node_peers else "not installed"
        for peer in ("generic-pool", "piscina", "tinypool", "workerpool"):
            argv = [*self.bench.node, str(PEERS / f"{peer}.mjs"), str(workers), JOBS]
            yield self._make(f"{peer}/{workers}", f"{peer}, {workers} worker(s)", argv, count, missing=missing)

    def _python_pools(self, count, workers, chunked):
        for kind, name in (("executor", "ProcessPoolExecutor.map"), ("imap", "multiprocessing.Pool.imap")):
            for chunk, jobs in ((1, count), (64, chunked)):
                argv = [*self.bench.python, str(PEERS / "pools.py"), kind, str(chunk), str(workers), JOBS]
                yield self._make(f"{kind}-{chunk}/{workers}", f"{name}, chunks of {chunk}, {workers} worker(s)", argv, jobs)

    # ---- Clients: forkpool inside of a program ----

    def client(self, count, workers):
        ending = ENDING[self.language]
        runtime = {"mjs": self.bench.node, "py": self.bench.python}[ending]
        argv = [*runtime, str(PEERS / f"client.{ending}"), str(workers), JOBS]
        name = {"mjs": "forkpool, Pool.run", "py": "forkpool.run"}[ending]
        return self._make(f"client/{workers}", f"{name}, {workers} worker(s)", argv, count)

    def mpire(self, count, workers, chunked):
        for chunk, jobs in ((1, count), (64, chunked)):
            argv = [*self.bench.python, str(PEERS / "pools.py"), "mpire", str(chunk), str(workers), JOBS, str(jobs)]
            name = f"mpire.WorkerPool.imap, chunks of {chunk}, {workers} worker(s)"
            yield self._make(f"mpire-{chunk}/{workers}", name, argv, jobs, missing=self.bench.library("mpire"))

    # ---- Clusters ----

    def cluster(self, key, kind, library, name, count):
        argv = [*self.bench.python, str(PEERS / "clusters.py"), kind, JOBS]
        return self._make(key, name, argv, count, missing=self.bench.library(library))

    # ---- A process per job, and jobs cut up beforehand ----

    def process_per_job(self, count, workers):
        once = self.bench.once(self.language)
        xargs = ["xargs", "-d", "\\n", "-n1", f"-P{workers}", *once]
        yield self._make(f"xargs/{workers}", f"xargs -n1 -P{workers}", xargs, count, stdin=JOBS, form="values", ordered=False)
        parallel = ["parallel", "--will-cite", "-k", f"-j{workers}", *once]
        yield self._make(
            f"parallel/{workers}", f"parallel -k -j{workers}", parallel, count,
            stdin=JOBS, form="values", missing=self._no_parallel(),
        )

    def round_robin(self, count, workers):
        argv = ["parallel", "--will-cite", f"-j{workers}", "--pipe", "--round-robin", *self.bench.worker(self.language)]
        return self._make(
            f"round-robin/{workers}", f"parallel --pipe --round-robin -j{workers} (no order)", argv, count,
            stdin=WIRE, form="wire", ordered=False, missing=self._no_parallel(),
        )

    def _no_parallel(self):
        return None if self.bench.parallel else "not installed"


# Stand for files that are known only once the jobs are.
JOBS = object()
WIRE = object()
NO_SHIM = "no supplied worker"
