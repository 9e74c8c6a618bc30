"""The scenario of other hosts: the same two workers at home, and one each on two hosts, reached by ssh.

The hosts are two addresses of this machine's loopback, behind an sshd that is started for it. So what is measured is the
stream and not a network, and the processors are those that the workers at home have.
"""
import getpass
import os
import shutil
import socket
import subprocess
import time

from .contenders import Contenders
from .report import Goal

ADDRESSES = ("127.0.0.1", "127.0.0.2")
NO_ALLOCATION = "outside of an allocation: salloc -N2 -n2 -c1 tests/bench/run hosts"
WAYS = {"ssh": "two hosts by ssh", "slurm": "two nodes by srun"}
# The rate with jobs of 5 ms, of that at home. srun cuts what it carries into messages of 1 KiB.
LEAST = {"ssh": 0.97, "slurm": 0.95}


class Sshd:
    """An sshd for the user who measures, with a key of its own, until the bench is closed."""

    def __init__(self, bench):
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        self.missing = None if program and shutil.which("ssh") else "no sshd"
        if self.missing:
            return
        folder = bench.scratch
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        port = free_port()
        words = [f"Port {port}", *(f"ListenAddress {address}" for address in ADDRESSES), f"HostKey {folder}/host_key"]
        words += [f"AuthorizedKeysFile {folder}/user_key.pub", "PidFile none", "StrictModes no", "UsePAM no"]
        (folder / "sshd_config").write_text("\n".join(words) + "\n", encoding="ascii")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # an sshd of root wants it
        child = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
        bench.at_end.callback(lambda: (child.terminate(), child.wait()))
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes"]
        self.ssh = f"ssh -T -F none -p {port} -i {folder}/user_key -o BatchMode=yes -o " + " -o ".join(options)
        wait_for_port(port)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port):
    for _ in range(100):
        try:
            return socket.create_connection((ADDRESSES[-1], port)).close()
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("sshd does not listen")


class Hosts:
    """The contenders of one kind of job: at home, on hosts by ssh, and on the nodes of an allocation of Slurm."""

    def __init__(self, bench, sshd, language, name, job):
        self.bench, self.sshd, self.name = bench, sshd, name
        self.make = Contenders(bench, language, name, job)

    def each_way(self, count):
        """One job, and all of them, by each way."""
        return [way(jobs, key) for jobs, key in ((1, "start"), (count, "all"))
                for way in (self._home, self._ssh, self._slurm)]

    def _home(self, count, key):
        return self.make.forkpool_handler(count, 2, key=f"{self.name}/home/{key}")

    def _ssh(self, count, key):
        launch = "" if self.sshd.missing else f"{self.sshd.ssh} {{host}} {self.bench.forkpool} --agent"
        hosts = ",".join(f"{address}:1" for address in ADDRESSES)
        where = ("--host", hosts, "--launch", launch)
        return self._away(count, f"{self.name}/ssh/{key}", where, "two hosts by ssh, a worker each", self.sshd.missing)

    def _slurm(self, count, key):
        missing = None if "SLURM_JOB_NODELIST" in os.environ else NO_ALLOCATION
        launch = f"srun -Q --overlap -N1 -n1 -w {{host}} {self.bench.forkpool} --agent"
        where = ("--hosts", "slurm", "--launch", launch)
        return self._away(count, f"{self.name}/slurm/{key}", where, "two nodes by srun, a worker each", missing)

    def _away(self, count, key, where, name, missing):
        contender = self.make.forkpool_handler(count, 1, *where, key=key)
        contender.name = f"forkpool --handler, {name}"
        contender.missing = contender.missing or missing
        return contender

    def by_parallel(self, count):
        """GNU parallel, which starts an ssh and a process for each job."""
        ssh = "" if self.sshd.missing else self.sshd.ssh
        logins = ",".join(f"1/{getpass.getuser()}@{address}" for address in ADDRESSES)
        contender = next(c for c in self.make.process_per_job(count, 1) if c.key.endswith("parallel/1"))
        contender.argv = ["parallel", "--will-cite", "-k", "--ssh", ssh, "-S", logins, *contender.argv[4:]]
        contender.key = f"{self.make.language}/{self.name}/parallel"
        contender.name = "parallel -k --sshlogin, two hosts, a process a job"
        contender.missing = contender.missing or self.sshd.missing
        return contender

    def by_clusters(self, count, processes):
        """Clusters of Python with two workers: one job, and all of them. A cluster that starts a process for each job gets
        `processes` jobs."""
        dask = ("dask", "distributed", "Dask, Client.map, two workers by dask worker")
        hyperqueue = ("hyperqueue", "hyperqueue", "HyperQueue, two workers, a process a job")
        for jobs, key in ((1, "start"), (count, "all")):
            for kind, library, name in (dask, hyperqueue):
                jobs = min(jobs, processes) if kind == "hyperqueue" else jobs
                yield self.make.cluster(f"{self.name}/{kind}/{key}", kind, library, name, jobs)


def hosts(bench):
    """Two hosts with a worker each, against the same two workers at home."""
    sshd = Sshd(bench)
    for language, jobs in (("node", 800_000), ("python", 400_000)):
        kind = Hosts(bench, sshd, language, "hosts-tiny", lambda at: f'{{"at":{at},"text":"{"x" * 180}"}}')
        group = [*kind.each_way(bench.scaled(jobs, 2_000)), kind.by_parallel(bench.scaled(20, 2))]
        if language == "python":
            group += kind.by_clusters(bench.scaled(5_000, 100), bench.scaled(200, 4))
        yield f"hosts, jobs of 200 bytes, {language}", group
    # So many that the first moments, in which hosts have few jobs ahead, are a small part of all.
    kind = Hosts(bench, sshd, "python", "hosts-5ms", lambda at: f'{{"ms":5,"at":{at}}}')
    yield "hosts, jobs of 5 ms, python", kind.each_way(bench.scaled(2_000, 100))
    text = "0123456789abcdef" * ((1 << 16) - 1)
    kind = Hosts(bench, sshd, "python", "hosts-large", lambda at: f'"{at:08} {text}"')
    yield "hosts, 1 MiB payloads, python", kind.each_way(bench.scaled(200, 20))


def hosts_goals(of):
    """Rates without the start: how long a login takes is nothing of forkpool's."""
    for language in ("node", "python"):
        home, away = (rate(of, f"{language}/hosts-tiny/{place}") for place in ("home", "ssh"))
        yield at_least(f"hosts, 200 bytes, {language}: rate of {WAYS['ssh']} against home", 0.5, away, home)
    for way, words in WAYS.items():
        home, away = (rate(of, f"python/hosts-5ms/{place}") for place in ("home", way))
        yield at_least(f"hosts, 5 ms: rate of {words} against home", LEAST[way], away, home)
        yield Goal.limit(
            f"hosts, 1 MiB, {words}: memory of forkpool at home for each (MiB)",
            64, of(f"python/hosts-large/{way}/all"), lambda run: run.memory / len(ADDRESSES) / (1 << 20),
        )
    yield at_least("hosts, 200 bytes, node: jobs per second, two nodes by srun", 30_000, rate(of, "node/hosts-tiny/slurm"), 1)
    for language in ("node", "python"):
        parallel = of(f"{language}/hosts-tiny/parallel")
        yield at_least(
            f"hosts, 200 bytes, {language}: rate of {WAYS['ssh']} against parallel --sshlogin",
            1_000, rate(of, f"{language}/hosts-tiny/ssh"), parallel and 1 / parallel.per_job,
        )
    for kind, name in (("dask", "Dask"), ("hyperqueue", "HyperQueue")):
        yield at_least(
            f"hosts, 200 bytes, python: rate of {WAYS['ssh']} against {name}",
            10, rate(of, "python/hosts-tiny/ssh"), rate(of, f"python/hosts-tiny/{kind}"),
        )


def rate(of, key):
    """Jobs per second, but for the first one."""
    one, every = of(f"{key}/start"), of(f"{key}/all")
    return (every.count - 1) / (every.wall - one.wall) if one and every else None


def at_least(name, least, rate_of_it, base):
    measured = rate_of_it / base if rate_of_it and base else None
    return Goal(name, f"≥ {least:,}", measured, measured is not None and measured >= least)
