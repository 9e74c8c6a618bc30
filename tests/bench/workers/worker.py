"""A program of the user's own around the handler: json protocol on stdin and stdout, an answer for each job
written before the next job is begun."""
import json
import os
import sys

from handler import handle

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def write(reply):
    while reply:
        reply = reply[os.write(1, reply):]


for line in sys.stdin.buffer:
    job = json.loads(line)
    write(encode({"id": job["id"], "status": "ok", "data": handle(job["data"])}).encode() + b"\n")
