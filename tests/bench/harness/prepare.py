"""Builds and installs what is measured, and knows where it is."""
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent.parent
WORKERS = BENCH / "workers"
PEERS = BENCH / "peers"

# Each slows some of the contenders down, and not the others.
CLEARED = ("PYTHONUNBUFFERED", "NODE_EXTRA_CA_CERTS")


class Bench:
    """What the scenarios need: the programs, a scratch folder, and whether to be quick."""

    def __init__(self, quick, forkpool=None):
        self.quick = quick
        self.env = {name: value for name, value in os.environ.items() if name not in CLEARED}
        self.scratch = Path(tempfile.mkdtemp(prefix="forkpool-bench-"))
        # What is to be ended with the bench.
        self.at_end = ExitStack()
        self.forkpool = str(Path(forkpool or self._cargo()).resolve())
        self.c_worker = str(self._cc(WORKERS / "worker.c"))
        self.lockstep = str(self._cc(PEERS / "lockstep.c"))
        self.node_peers = self._npm()
        self.parallel = self._parallel()
        self.node = [shutil.which("node") or "node"]
        # The path that a version manager's wrapper stands for: its own start is not what is measured.
        self.python = [os.path.realpath(sys.executable)]
        self.shims = {ending: self._shim(ending) for ending in ("mjs", "py")}

    def close(self):
        self.at_end.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def library(self, name):
        """Why a library of Python cannot be measured; None if it can."""
        found = subprocess.run([*self.python, "-c", f"import {name}"], capture_output=True, check=False)
        return None if found.returncode == 0 else f"{name} is not installed"

    def scaled(self, full, quick):
        return quick if self.quick else full

    def worker(self, language):
        """A program that speaks the protocol on stdin and stdout."""
        return {
            "node": [*self.node, str(WORKERS / "worker.mjs")],
            "python": [*self.python, str(WORKERS / "worker.py")],
            "native": [self.c_worker],
        }[language]

    def once(self, language):
        """A program that does the job it is given as its argument."""
        return {
            "node": [*self.node, str(WORKERS / "once.mjs")],
            "python": [*self.python, str(WORKERS / "once.py")],
            "native": [self.c_worker],
        }[language]

    def jobs_file(self, name, jobs):
        """A file of jobs, made once."""
        path = self.scratch / f"{name}.ndjson"
        if not path.exists():
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{job}\n" for job in jobs)
        return path

    def wire_file(self, jobs):
        """The same jobs as a worker reads them."""
        path = jobs.with_suffix(".wire")
        if not path.exists():
            with open(jobs, "rb") as lines, open(path, "wb") as wire:
                wire.writelines(b'{"id":%d,"data":%s}\n' % (at, line[:-1]) for at, line in enumerate(lines, 1))
        return path

    def _cargo(self):
        say("cargo build --release")
        subprocess.run(["cargo", "build", "--quiet", "--release"], cwd=ROOT, check=True)
        target = Path(self.env.get("CARGO_TARGET_DIR", ROOT / "target"))
        return target / "release" / "forkpool"

    def _cc(self, source):
        program = self.scratch / source.stem
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
        return program

    def _npm(self):
        if not (BENCH / "node_modules").exists():
            say("npm install")
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            return subprocess.run(command, cwd=BENCH, check=False).returncode == 0
        return True

    def _parallel(self):
        if not shutil.which("parallel") and os.geteuid() == 0 and shutil.which("apt-get"):
            say("apt-get install parallel")
            subprocess.run(["apt-get", "install", "-y", "-qq", "parallel"], check=False, stdout=subprocess.DEVNULL)
        return shutil.which("parallel")

    def _shim(self, ending):
        """The command of the worker that forkpool supplies for a handler, or None if it supplies none."""
        runtime = {"mjs": self.node, "py": self.python}[ending]
        noted = self.scratch / f"shim.{ending}"
        record = " ".join([str(WORKERS / "record"), str(noted), *runtime])
        command = [self.forkpool, "-q", "-j1", "--runtime", record, "--handler", str(WORKERS / f"handler.{ending}")]
        done = subprocess.run(command, input=b"1\n", capture_output=True, env=self.env, check=False)
        if done.returncode != 0:
            say(f"no supplied worker for .{ending}: {done.stderr.decode().strip()}")
            return None
        return noted.read_bytes().decode().split("\0")[:-1]


def say(words):
    print(f"bench: {words}", file=sys.stderr, flush=True)
