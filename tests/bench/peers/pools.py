"""Python's own pools: pools.py {executor|imap|mpire} CHUNKSIZE WORKERS FILE. Records on stdout in the jobs' order."""
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../workers"))
from handler import handle  # noqa: E402: the path comes first

kind, chunksize, workers, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def write(results):
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    for number, data in enumerate(results, 1):
        print(encode({"job": number, "status": "ok", "data": data}))


if __name__ == "__main__":
    with open(path, encoding="utf-8") as jobs:
        if kind == "executor":
            with ProcessPoolExecutor(workers) as pool:
                write(pool.map(handle, map(json.loads, jobs), chunksize=chunksize))
        elif kind == "mpire":
            from mpire import WorkerPool

            # It unpacks a job that is a dict into arguments; in a list it stays as it is.
            with WorkerPool(workers) as pool:
                jobs = ((json.loads(job),) for job in jobs)
                write(pool.imap(handle, jobs, chunk_size=chunksize, iterable_len=int(sys.argv[5])))
        else:
            with multiprocessing.Pool(workers) as pool:
                write(pool.imap(handle, map(json.loads, jobs), chunksize=chunksize))
