# A worker in Python, to start from: forkpool -i samples/names.csv -- python3 samples/workers/worker.py
import json, sys

out, sys.stdout = sys.stdout, sys.stderr  # stray output to stderr

def reply(message):
    print(json.dumps(message), file=out, flush=True)

def pet_kitten(kitten):
    if kitten["name"].endswith("x"):
        raise ValueError(f"{kitten['name']} bites")
    return {"name": kitten["name"], "petted": True}

reply({"status": "ready"})  # optional: says that all is loaded
for line in sys.stdin.buffer:
    if line.strip():
        job = json.loads(line)
        try:
            reply({"id": job["id"], "status": "ok", "data": pet_kitten(job["data"])})
        except Exception as e:
            reply({"id": job["id"], "status": "error", "error": {"name": type(e).__name__, "message": str(e)}})
