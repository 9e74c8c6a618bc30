"""The job of every benchmark: sleeps for `ms` if the job says so, and returns the job."""
import importlib
import os
import time

# An expensive import, and one that is made up.
if "BENCH_IMPORT" in os.environ:
    importlib.import_module(os.environ["BENCH_IMPORT"])
time.sleep(float(os.environ.get("BENCH_IMPORT_MS", 0)) / 1000)


def handle(job):
    if isinstance(job, dict) and job.get("ms"):
        time.sleep(job["ms"] / 1000)
    return job
