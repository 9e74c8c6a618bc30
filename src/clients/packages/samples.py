"""The samples, which README.md and its manual speak of."""
from .project import ROOT

# What somebody has installed or compiled in the samples is not part of them.
NOT_OURS = {"node_modules", "__pycache__", "package-lock.json"}


def samples():
    """The files, relative to the top folder."""
    found = [path.relative_to(ROOT) for path in (ROOT / "samples").rglob("*") if path.is_file()]
    return sorted(path for path in found if not NOT_OURS & set(path.parts))
