"""Clusters of Python: clusters.py {dask|hyperqueue} FILE. Two workers; records on stdout in the jobs' order."""
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

WORKERS = Path(__file__).resolve().parent.parent / "workers"
sys.path.insert(0, str(WORKERS))
from handler import handle  # noqa: E402: the path comes first


def dask(lines):
    """A scheduler, and a worker with one thread on each of two addresses of the loopback."""
    from distributed import Client

    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(WORKERS), os.environ.get("PYTHONPATH", "")])}

    def start(module, *words):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words, "--no-dashboard"]
        child = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        processes.callback(lambda: (child.terminate(), child.wait()))

    with ExitStack() as processes, tempfile.TemporaryDirectory() as folder:
        address = Path(folder) / "scheduler.json"
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(address))
        for host in ("127.0.0.1", "127.0.0.2"):
            words = ("--host", host, "--nthreads", "1", "--no-nanny", "--local-directory", folder)
            start("dask_worker", "--scheduler-file", str(address), *words)
        with Client(scheduler_file=str(address)) as client:
            client.wait_for_workers(2)
            yield from client.gather(client.map(handle, [json.loads(line) for line in lines], pure=False))


def hyperqueue(lines):
    """A server and two workers with a processor each; it starts a process for each task, whose output is a file."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with tempfile.TemporaryDirectory() as folder, LocalCluster(f"{folder}/server") as cluster:
        for _ in range(2):
            cluster.start_worker(WorkerConfig(cores=1))
        client, job = cluster.client(), Job()
        outputs = [Path(folder) / str(at) for at in range(len(lines))]
        for line, output in zip(lines, outputs):
            # What a task writes to stderr is in a file of its folder.
            job.program([sys.executable, str(WORKERS / "once.py"), line], stdout=str(output), cwd=folder)
        client.wait_for_jobs([client.submit(job)])
        yield from (json.loads(output.read_text(encoding="utf-8")) for output in outputs)


if __name__ == "__main__":
    kind, path = sys.argv[1:]
    all_lines = Path(path).read_text(encoding="utf-8").splitlines()
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    # HyperQueue's server writes to stdout as well.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        for number, data in enumerate({"dask": dask, "hyperqueue": hyperqueue}[kind](all_lines), 1):
            print(encode({"job": number, "status": "ok", "data": data}), file=out)
