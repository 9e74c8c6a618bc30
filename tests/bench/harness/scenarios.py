"""The scenarios: who runs what, and which goals that decides."""
import heapq
import json
import random

from .contenders import Contenders
from .hosts import hosts, hosts_goals
from .outputs import outputs, outputs_goals
from .report import Goal
from .scale import Scale


def tiny(bench):
    """Tiny jobs: what a pool costs per job."""
    streamed = bench.scaled(1_000_000, 5_000)
    for language in ("node", "python", "native"):
        count = streamed // 4 if language == "python" else streamed
        dispatched = bench.scaled(40_000, 500)
        make = Contenders(bench, language, "tiny", lambda at: f'{{"name":"kitten-{at}"}}')
        group = [make.bare(count), make.bare_handler(count)]
        for workers in (1, 2):
            group += [
                make.forkpool_handler(count, workers),
                make.forkpool(count, workers, "auto"),
                make.forkpool(count // 4, workers, "1"),
            ]
            if language == "native":
                group += [make.lockstep(count // 4, workers)]
        if language != "native":
            group += make.pools(dispatched, 2, chunked=count // 4)
        group += make.process_per_job(bench.scaled(200 if language == "native" else 40, 4), 2)
        group += [make.round_robin(count, 2)]
        yield f"tiny jobs, {language}", group


def tiny_goals(of):
    for language in ("node", "python"):
        # The supplied worker under forkpool against the same worker in a pipe; before there is one, a program.
        how = "handler" if of(f"{language}/handler-bare") else "auto"
        bare = of(f"{language}/handler-bare") or of(f"{language}/bare")
        one, two = of(f"{language}/{how}/1"), of(f"{language}/{how}/2")
        if language == "node":
            yield Goal.at_least("tiny jobs, one Node worker: rate against the bare pipe", 0.95, bare, one)
            yield Goal.at_least("tiny jobs, two Node workers: rate against the bare pipe", 1.5, bare, two)
            yield Goal.at_least("tiny jobs, Node: rate against piscina", 8, of("node/piscina/2"), two)
            yield Goal.at_least("tiny jobs, Node: rate against generic-pool", 8, of("node/generic-pool/2"), two)
            yield Goal.at_least(
                "depth 1, a Node program: rate against generic-pool", 1.5, of("node/generic-pool/2"), of("node/1/2")
            )
        else:
            yield Goal.at_least("tiny jobs, Python: rate against Pool.imap", 8, of("python/imap-1/2"), two)
            yield Goal.at_least("tiny jobs, Python: rate against Pool.imap(64)", 1, of("python/imap-64/2"), two)
            yield Goal.at_least("tiny jobs, Python: rate against Executor.map(64)", 1, of("python/executor-64/2"), two)
    for workers in (1, 2):
        yield Goal.at_most(
            f"depth 1, native, {workers} worker(s): time against a lock-step pool in C",
            1.3, of(f"native/1/{workers}"), of(f"native/lockstep/{workers}"),
        )


def clients(bench):
    """Tiny jobs from inside a program: the clients against pools of the same language."""
    count, streamed = bench.scaled(40_000, 500), bench.scaled(250_000, 500)
    env = {"FORKPOOL": bench.forkpool}
    for language in ("node", "python"):
        make = Contenders(bench, language, "clients", lambda at: f'{{"name":"kitten-{at}"}}', env)
        if language == "node":
            group = [make.client(count, 2), *make.pools(count, 2, chunked=count)]
        else:
            group = [make.client(streamed, 2), *make.pools(count, 2, chunked=streamed), *make.mpire(count, 2, chunked=streamed)]
        yield f"tiny jobs from a program, {language}", group


def clients_goals(of):
    ours = of("node/client/2")
    for peer in ("piscina", "generic-pool", "workerpool"):
        yield Goal.at_least(f"Pool.run: rate against {peer}", 4, of(f"node/{peer}/2"), ours)
    for peer, name in (("executor", "Executor.map"), ("mpire", "mpire")):
        for chunk, least in ((1, 4), (64, 1)):
            base = of(f"python/{peer}-{chunk}/2")
            yield Goal.at_least(f"forkpool.run: rate against {name}({chunk})", least, base, of("python/client/2"))


def importing(bench):
    """200 jobs of 1 ms after a start of 300 ms."""
    env = {"BENCH_IMPORT_MS": "300"}
    count = bench.scaled(200, 50)
    for language in ("python", "node"):
        make = Contenders(bench, language, "import", lambda at: f'{{"ms":1,"name":"kitten-{at}"}}', env)
        group = [
            make.bare(1), make.bare(count), make.forkpool_handler(count, 2), make.forkpool(count, 2, "auto"),
            make.forkpool(count, 2, "1"), *make.pools(count, 2, chunked=count),
            *make.process_per_job(bench.scaled(10, 2), 2),
        ]
        group[0].key, group[0].name = f"{language}/start", "bare pipe, one job (the start)"
        yield f"300 ms import, {language}", group


def importing_goals(of):
    for language in ("python", "node"):
        start, bare = of(f"{language}/start"), of(f"{language}/bare")
        if start and bare:
            total = (bare.wall - start.wall) * bare.count / (bare.count - 1)
            ideal = start.wall + total / 2
            for how in ("handler", "1"):
                yield Goal.limit(
                    f"300 ms import, {language} {'handler' if how == 'handler' else 'program'}: "
                    f"time against the start + half of the work ({ideal:.3f} s)",
                    1.1, of(f"{language}/{how}/2"), lambda contender, ideal=ideal: contender.wall / ideal,
                )


def preload(bench):
    """A real library, pandas, that is imported by each worker or once for all."""
    library = bench.library("pandas")
    env = {"BENCH_IMPORT": "pandas"}
    make = Contenders(bench, "python", "preload", lambda at: f'{{"ms":500,"at":{at}}}', env)
    eight = [make.bare_handler(1)] + [
        make.forkpool_handler(8, 8, "--depth", "1", *more, key=key, with_children=True)
        for key, more in (("cold/8", ()), ("preload/8", ("--preload",)))
    ]
    quick = Contenders(bench, "python", "preload-quick", lambda at: f'{{"ms":1,"at":{at}}}', env)
    count = bench.scaled(200, 20)
    two = [
        quick.forkpool_handler(count, 2, key="cold/2"), quick.forkpool_handler(count, 2, "--preload", key="preload/2"),
        *quick.pools(count, 2, chunked=count),
    ]
    fresh = [
        quick.forkpool_handler(1, 1, "--preload", key="preload/one"),
        quick.forkpool_handler(count + 1, 1, "--preload", "--recycle-jobs", "1", key="preload/fresh"),
    ]
    for title, group in (
        ("pandas, 8 workers with a job each (memory: of all processes)", eight),
        ("pandas, 2 workers", two),
        ("pandas, a fresh worker for each job", fresh),
    ):
        for contender in group:
            contender.missing = contender.missing or library
        yield title, group


def preload_goals(of):
    one, cold, forked = of("python/handler-bare"), of("python/cold/8"), of("python/preload/8")
    if one and cold:
        yield Goal.limit(
            "pandas, --preload, 8 workers: processor time against that of one import and job",
            1.3, forked, lambda run: run.cpu / one.cpu,
        )
        yield Goal.limit(
            "pandas, --preload, 8 workers: memory against 8 imports", 0.35, forked, lambda run: run.memory / cold.memory
        )
    pool = of("python/executor-1/2")
    if pool:
        yield Goal.limit(
            "pandas, --preload, 2 workers: processor time against ProcessPoolExecutor",
            1.05, of("python/preload/2"), lambda run: run.cpu / pool.cpu,
        )
    start = of("python/preload/one")
    if start:
        yield Goal.limit(
            "pandas, --preload: ms for a fresh worker and its job of 1 ms",
            20, of("python/preload/fresh"), lambda run: (run.wall - start.wall) * 1000 / (run.count - 1),
        )


def skew_durations(quick):
    """Milliseconds: runs of quick jobs, runs of slow ones, and one of 1.5 s early on, among quick ones."""
    dice = random.Random(20240229)
    durations = []
    for block in range(12 if quick else 60):
        if block == 10:
            durations += [0.1] * 40 + [1500] + [0.1] * 40
        if dice.random() < 0.5:
            durations += [dice.choice([0.05, 0.1, 0.2]) for _ in range(40)]
        else:
            durations += [round(min(300, dice.lognormvariate(2.7, 0.8)), 2) for _ in range(30)]
    return durations


def best_schedule(durations, workers):
    """Seconds that the best first-come-first-served schedule takes: each job to whoever is free first."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration / 1000)
    return max(free)


def skew(bench):
    """Sleeps of very different length on 8 workers, one of them 1.5 s."""
    durations = skew_durations(bench.quick)
    count = len(durations)
    for language in ("native", "python", "node"):
        make = Contenders(bench, language, "skew", lambda at: json.dumps({"ms": durations[at - 1], "at": at}, separators=(",", ":")))
        group = [make.forkpool(count, 8, "1"), make.forkpool(count, 8, "auto"), make.forkpool(count, 8, "64")]
        if language == "native":
            group += [make.lockstep(count, 8), *make.process_per_job(count, 8)]
        else:
            group += [make.forkpool_handler(count, 8), *make.pools(count, 8, chunked=count)]
        yield f"skewed sleeps, 8 workers, {language}", group


def skew_goals(of):
    for key, how in (("native/1/8", "depth 1"), ("native/auto/8", "automatic depth")):
        result = of(key)
        if result:
            ideal = best_schedule([json.loads(line)["ms"] for line in open(result.jobs, encoding="ascii")], 8)
            yield Goal.limit(
                f"skewed sleeps, {how}: makespan against the best first-come-first-served one ({ideal:.3f} s)",
                1.03, result, lambda contender, ideal=ideal: contender.wall / ideal,
            )


def large(bench):
    """Jobs and results of 1 MiB."""
    count = bench.scaled(200, 20)
    text = "0123456789abcdef" * ((1 << 16) - 1)
    for language in ("node", "python", "native"):
        make = Contenders(bench, language, "large", lambda at: f'"{at:08} {text}"')
        group = [make.bare(count), make.bare_between_pipes(count), make.bare_handler(count)]
        for workers in (1, 2):
            group += [make.forkpool_handler(count, workers), make.forkpool(count, workers, "auto"),
                      make.forkpool(count, workers, "1")]
        group += [make.lockstep(count, 2)] if language == "native" else make.pools(count, 2, chunked=count)
        yield f"1 MiB payloads, {language}", group


def large_goals(of):
    for language in ("node", "python", "native"):
        how = "handler" if of(f"{language}/handler-bare") else "auto"
        bare = of(f"{language}/handler-bare") or of(f"{language}/bare")
        one = of(f"{language}/{how}/1")
        yield Goal.at_least(f"1 MiB payloads, {language}: bandwidth against the bare pipe", 0.9, bare, one)
        if language == "native":
            # It only copies, straight from file to file; whoever stands between has to copy twice as often.
            pipes = of("native/bare-pipes")
            yield Goal.at_least("1 MiB payloads, native: bandwidth against bare pipes on both sides", 0.9, pipes, one)
        yield Goal.limit(f"1 MiB payloads, {language}: memory (MiB)", 64, one, lambda run: run.memory / (1 << 20))


def slow_head(bench):
    """Many tiny jobs behind one that takes long, with --memory 64MiB."""
    count, seconds = bench.scaled((10_000_000, 10), (100_000, 0.5))
    make = Contenders(bench, "native", "plain", lambda at: f'{{"n":{at}}}')
    behind = Contenders(bench, "native", "head", lambda at: f'{{"ms":{seconds * 1000}}}' if at == 1 else f'{{"n":{at}}}')
    memory = ("--memory", "64MiB")
    plain = make.forkpool(count, 1, "auto", *memory)
    head = behind.forkpool(count, 2, "auto", *memory)
    plain.key, plain.name = "native/plain", "forkpool -j1, no slow job"
    head.key, head.name = "native/head", f"forkpool -j2, the first job takes {seconds} s"
    yield "slow head, native", [plain, head]


def slow_head_goals(of):
    plain, head = of("native/plain"), of("native/head")
    if plain and head:
        with open(head.jobs, "rb") as jobs:
            seconds = json.loads(next(jobs))["ms"] / 1000
        # All records can only be written once the first job has ended, hence the room in the limit.
        least = max(seconds, plain.wall)
        yield Goal.limit(
            f"slow head: time against the longer of the head and the rest on one worker ({least:.2f} s)",
            1.25, head, lambda run: run.wall / least,
        )
        yield Goal.limit("slow head: memory (MiB)", 128, head, lambda run: run.memory / (1 << 20))


def one_job(bench):
    """One job: what a run costs beyond its worker."""
    for language in ("native", "python", "node"):
        make = Contenders(bench, language, "one", lambda at: f'{{"name":"kitten-{at}"}}')
        yield f"one job, {language}", [
            make.bare(1), make.bare_handler(1), make.forkpool(1, 1, "1"), make.forkpool_handler(1, 1),
            *(make.pools(1, 1, chunked=1) if language != "native" else [make.lockstep(1, 1)]),
        ]


def one_job_goals(of):
    for language in ("native", "python", "node"):
        for bare, pool, how in (("bare", "1/1", "program"), ("handler-bare", "handler/1", "handler")):
            worker = of(f"{language}/{bare}")
            if worker:
                yield Goal.limit(
                    f"one job, {language} {how}: ms over the bare worker",
                    10, of(f"{language}/{pool}"), lambda run, worker=worker: (run.wall - worker.wall) * 1000,
                )


SCALE = Scale()

# Name: contenders, goals, and how many times as many rounds as asked for.
SCENARIOS = {
    "tiny": (tiny, tiny_goals, 1),
    "clients": (clients, clients_goals, 1),
    "import": (importing, importing_goals, 1),
    "preload": (preload, preload_goals, 1),
    "skew": (skew, skew_goals, 1),
    "large": (large, large_goals, 1),
    "slow-head": (slow_head, slow_head_goals, 1),
    "one-job": (one_job, one_job_goals, 10),
    "outputs": (outputs, outputs_goals, 3),
    "hosts": (hosts, hosts_goals, 1),
    "scale": (SCALE.run, SCALE.goals, 1),
}
# A figure of these is the median of the rounds, since the best of so short runs is luck; of others it is the best.
MEDIAN = ("one-job",)
