"""The scenario of many hosts: no processes and no network, but the dispatcher, the seats of hosts and both ends of their
streams with a virtual clock, as the tests run them with fewer hosts (src/agent/simulation/scale.rs)."""
import json
import os
import subprocess

from .prepare import ROOT, say
from .report import Goal, duration

TEST = "agent::simulation::scale::the_workers_of_many_hosts_behind_a_long_way_are_hardly_ever_idle"
# Each worker gets as many jobs as make ten million with a thousand hosts.
JOBS_OF_A_WORKER, WORKERS = 157, 64


class Scale:
    """What was measured, between the run and the goals."""

    def __init__(self):
        self.figures = None

    def run(self, bench):
        """A thousand hosts of 64 workers, 100 ms there and back, ten million jobs of a second."""
        hosts = bench.scaled(1000, 20)
        say("cargo test --release, with a virtual clock")
        command = ["cargo", "test", "--quiet", "--release", "--bin", "forkpool", TEST]
        env = {**os.environ, "FORKPOOL_SCALE": str(hosts)}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        line = next((line for line in done.stderr.splitlines() if line.startswith('{"busy"')), None)
        if line is None:
            say(f"the simulation has failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
            return
        self.figures = json.loads(line)
        jobs = hosts * WORKERS * JOBS_OF_A_WORKER
        print(f"### {hosts:,} hosts of {WORKERS} workers, 100 ms there and back, {jobs:,} jobs of 1 s, by simulation\n")
        print("| | time per job | jobs per second of one processor |\n|---|--:|--:|")
        for name, key in (("dispatcher", "dispatcher_ns"), ("dispatcher, seats, home ends of the streams", "pool_ns")):
            seconds = self.figures[key] / 1e9
            print(f"| {name} | {duration(seconds)} | {1 / seconds:,.0f} |")
        print(flush=True)
        yield from ()

    def goals(self, _):
        """How busy the workers are while all of them can be."""
        for key, name in (("busy", "while all can have a job"), ("busy_in_all", "in the whole run, start and end included")):
            busy = self.figures and self.figures[key]
            yield Goal(f"many hosts: time that workers have a job, {name}", "≥ 0.98", busy, bool(busy and busy >= 0.98))
