# A handler for --preload: it notes each time that it is loaded, and does what its jobs say.
import os
import random
import signal
import sys
import time

LOADED_BY = os.getpid()
with open("loaded", "a") as loaded:
    loaded.write(f"{LOADED_BY}\n")
sys.stdout.write("half a line, ")
calls = 0


def connect():
    global calls
    calls += 1


def handler(job):
    if "kill" in job:
        os.kill({"worker": os.getpid(), "template": LOADED_BY}[job["kill"]], signal.SIGKILL)
    if "touch" in job:
        open(job["touch"], "w").close()
    if "sleep" in job:
        time.sleep(job["sleep"])
    return {
        "slot": os.environ["FORKPOOL_SLOT"],
        "calls": calls,
        "random": random.random(),
        "is_forked": os.getpid() != LOADED_BY,
        "is_own": os.getppid() != LOADED_BY and os.getpgid(0) == os.getpid(),
        "stdin": sys.stdin.read(),
    }
