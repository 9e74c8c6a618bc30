"""What all packages say alike: name, version, time, processor. It comes from Cargo.toml and git, and is written nowhere
else."""
import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path

# The kinds of processors, as each kind of package calls them.
PROCESSORS = {
    "x86_64": {"deb": "amd64", "npm": "x64"},
    "aarch64": {"deb": "arm64", "npm": "arm64"},
}
ROOT = Path(__file__).resolve().parents[3]
# The man pages, with their sections.
PAGES = [("forkpool.1", "1"), ("forkpool-worker.7", "7")]


class Failed(Exception):
    """Nothing can be made, for a reason that the user can do something about."""


class Project:
    """`binary` and `texts` are there once the binary is built: see packages/binary.py and packages/bill.py."""

    binary: Path
    texts: list[Path]

    def __init__(self):
        self.processor = platform.machine()
        if platform.system() != "Linux" or self.processor not in PROCESSORS:
            raise Failed(f"packages are made on Linux for {' or '.join(PROCESSORS)}, not on {platform.platform()}")
        self.triple = f"{self.processor}-unknown-linux-gnu"
        words = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={self.triple}"]
        self.metadata = json.loads(run(words))
        self.target = Path(self.metadata["target_directory"])
        root = self.metadata["resolve"]["root"]
        self.package = next(package for package in self.metadata["packages"] if package["id"] == root)
        self.name, self.version = self.package["name"], self.package["version"]
        self.summary, self.license = self.package["description"], self.package["license"]
        self.epoch = epoch()

    def called(self, kind):
        """The name that a kind of package has for the processor."""
        return PROCESSORS[self.processor][kind]


def epoch():
    """The time of all files in the packages, in seconds since 1970. It is that of the last commit, so that the packages
    can be made again."""
    stated = os.environ.get("SOURCE_DATE_EPOCH")
    if stated:
        if not stated.isdecimal():
            raise Failed(f"SOURCE_DATE_EPOCH is no number of seconds: {stated!r}")
        return int(stated)
    try:
        return int(run(["git", "log", "-1", "--format=%ct"]))
    except (Failed, ValueError):
        raise Failed("the time of the last commit is not known\nhint: set SOURCE_DATE_EPOCH=$(date +%s)") from None


def run(words, folder=ROOT, **more):
    """What a program wrote on stdout. What it says on stderr is shown, and is the reason if it fails."""
    more = {"env": os.environ, **more}
    try:
        done = subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **more)
    except OSError as error:
        raise Failed(f"{words[0]} cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        raise Failed(f"{words[0]} {words[1]} has ended with {done.returncode}")
    return done.stdout.decode()


def checksum(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()
