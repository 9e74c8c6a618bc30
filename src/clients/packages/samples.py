"""The samples, which README.md and its manual speak of."""
from .project import ROOT
from .tree import put

# What somebody has installed or compiled in the samples is not part of them.
NOT_OURS = {"node_modules", "__pycache__", "package-lock.json"}


def samples():
    """The files, relative to the top folder."""
    found = [path.relative_to(ROOT) for path in (ROOT / "samples").rglob("*") if path.is_file()]
    return sorted(path for path in found if not NOT_OURS & set(path.parts))


def put_samples(folder):
    """Copies them, those that are programs as programs."""
    for file in samples():
        put(ROOT / file, folder / file, executable=(ROOT / file).stat().st_mode & 0o100 != 0)
