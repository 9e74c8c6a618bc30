"""The tar file: the binary with manual, completions, licences and samples, for machines without a package manager."""
import gzip
import tarfile

from .project import PAGES, ROOT
from .bill import SHELLS, own_terms
from .samples import put_samples
from .tree import files, put, settle


def make(project, stage, out):
    name = f"{project.name}-{project.version}-{project.processor}-linux"
    top = stage / name
    put(project.binary, top / "bin" / project.name, executable=True)
    for page, section in PAGES:
        put(ROOT / "man" / page, top / "share" / "man" / f"man{section}" / page)
    for text in project.texts:
        put(text, top / "completions" / text.name if text.name in SHELLS.values() else top / text.name)
    for text in [*own_terms(), ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        put(text, top / text.name)
    put_samples(top)
    settle(top, project.epoch)
    made = out / f"{name}.tar.gz"
    with open(made, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in files(top):
                tar.add(path, str(path.relative_to(stage)), filter=of_nobody)
    return [made]


def of_nobody(entry):
    """Without the account that has built it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
