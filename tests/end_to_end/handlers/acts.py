# What the tests have a handler do, by the job's `do`.
import os
import subprocess
import sys
import threading
import time


class Acts:
    def echo(job, context):
        return job

    def print(job, context):
        print('{"id":1,"status":"ok","data":"not from the worker"}')
        print("no line", end="")
        os.system("echo from a child")
        return "printed"

    def context(job, context):
        context.progress({"half": True})
        return {"number": context.job, "attempt": context.attempt}

    def fail(job, context):
        raise TypeError("it fails")

    def not_json(job, context):
        return {"weight": {1, 2}}

    def circular(job, context):
        result = {}
        result["result"] = result
        return result

    def nothing(job, context):
        pass

    def text(job, context):
        return "x" * job["size"]

    def linger(job, context):
        threading.Timer(3600, print).start()

    def note(job, context):
        with open(job["file"], "a") as file:
            file.write(job["text"])

    def end(job, context):
        os._exit(3)

    def exit(job, context):
        sys.exit("enough")

    def child_descriptors(job, context):
        child = subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True)
        return child.stdout.split()

    def sleep(job, context):
        time.sleep(job["ms"] / 1000)
        return job["ms"]

    def surrogate(job, context):
        return "\ud800"


def handler(job, context):
    return vars(Acts)[job["do"]](job, context)
