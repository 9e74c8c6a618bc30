"""The client for Python: client.py WORKERS FILE. Records on stdout in the jobs' order."""
import json
import os
import sys

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(BENCH, "../../src/clients/python"))
import forkpool  # noqa: E402: the path comes first

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
with open(sys.argv[2], encoding="utf-8") as jobs:
    handler = os.path.join(BENCH, "workers/handler.py")
    for record in forkpool.run(handler, map(json.loads, jobs), workers=int(sys.argv[1])):
        print(encode(record))
