"""The scenario of outputs: what the files cost that tell of a run, one by one and all together."""
from .contenders import Contenders
from .report import Goal

FILES = {
    "report": "page.html",
    "trace": "trace.json",
    "junit": "junit.xml",
    "metrics": "metrics.prom",
    "joblog": "jobs.tsv",
}


def outputs(bench):
    """Tiny jobs without any of the files, with each and with all."""
    for language, jobs in (("node", 1_000_000), ("python", 500_000)):
        make = Contenders(bench, language, "outputs", lambda at: f'{{"name":"kitten-{at}"}}')
        count = bench.scaled(jobs, 5_000)
        yield f"tiny jobs with outputs, {language}", [
            with_files(bench, make, count, key, files)
            for key, files in [("none", []), ("all", list(FILES)), *((name, [name]) for name in FILES)]
        ]


def with_files(bench, make, count, key, names):
    writes = [bench.scratch / FILES[name] for name in names]
    flags = [word for name, path in zip(names, writes) for word in (f"--{name}", str(path))]
    contender = make.forkpool_handler(count, 1, *flags, key=f"outputs/{key}", writes=writes)
    contender.name = " ".join(["forkpool -j1", *(f"--{name}" for name in names), "--handler"])
    return contender


def outputs_goals(of):
    for language in ("node", "python"):
        none, every = of(f"{language}/outputs/none"), of(f"{language}/outputs/all")
        yield Goal.at_most(f"all outputs, {language}: time against none", 1.03, every, none)
        if none:
            yield Goal.limit(
                f"all outputs, {language}: memory (MiB) more than without",
                4, every, lambda run, none=none: (run.memory - none.memory) / (1 << 20),
            )
