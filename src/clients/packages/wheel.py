"""The Python wheel: the client as the package forkpool, and the binary twice: as the command, which is started without
Python, and in the package, where the client finds it however the wheel was installed. Wheels have no links.

The binary is static, so one wheel is for glibc and musl. The format: PEP 427, PEP 491, PEP 639, PEP 770."""
import base64
import hashlib
import time
import zipfile

from .bill import SHELLS, own_terms
from .project import PAGES, ROOT
from .tree import files, put, write

CLIENT = ROOT / "src/clients/python/forkpool"
# Where each shell looks below a prefix, such as /usr/local or a virtual environment.
COMPLETIONS = {
    "bash": "share/bash-completion/completions/forkpool",
    "zsh": "share/zsh/site-functions/_forkpool",
    "fish": "share/fish/vendor_completions.d/forkpool.fish",
}


def make(project, stage, out):
    release = f"{project.name}-{project.version}"
    for file in CLIENT.iterdir():
        if file.suffix in (".py", ".pyi") or file.name == "py.typed":
            put(file, stage / project.name / file.name)
    data, info = stage / f"{release}.data", stage / f"{release}.dist-info"
    put(project.binary, stage / project.name / "bin" / project.name, executable=True)
    put(project.binary, data / "scripts" / project.name, executable=True)
    for page, section in PAGES:
        put(ROOT / "man" / page, data / "data/share/man" / f"man{section}" / page)
    texts = {text.name: text for text in project.texts}
    for shell, place in COMPLETIONS.items():
        put(texts[SHELLS[shell]], data / "data" / place)
    for text in [*own_terms(), texts["LICENSES-OF-PARTS"]]:
        put(text, info / "licenses" / text.name)
    put(texts["sbom.cdx.json"], info / "sboms" / "sbom.cdx.json")
    tags = [f"manylinux2014_{project.processor}", f"musllinux_1_1_{project.processor}"]
    write(info / "METADATA", metadata(project))
    write(info / "WHEEL", about(tags))
    write(info / "RECORD", record(stage, info))
    made = out / f"{release}-py3-none-{'.'.join(tags)}.whl"
    pack(project, stage, made)
    return [made]


def metadata(project):
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", project.name),
        ("Version", project.version),
        ("Summary", project.summary),
        ("Keywords", ",".join(project.package["keywords"])),
        ("License-Expression", project.license),
        *(("License-File", name) for name in ["LICENSE-APACHE", "LICENSE-MIT", "LICENSES-OF-PARTS"]),
        ("Requires-Python", ">=3.9"),
        ("Description-Content-Type", "text/markdown"),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + (ROOT / "README.md").read_text()


def about(tags):
    lines = ["Wheel-Version: 1.0", "Generator: forkpool", "Root-Is-Purelib: false"]
    return "".join(f"{line}\n" for line in lines + [f"Tag: py3-none-{tag}" for tag in tags])


def record(stage, info):
    """Each file with its digest. The record itself has none."""
    lines = []
    for file in files(stage):
        content = file.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{file.relative_to(stage)},sha256={digest},{len(content)}\n")
    return "".join(lines) + f"{(info / 'RECORD').relative_to(stage)},,\n"


def pack(project, stage, made):
    # The time of an entry has two-second steps and no zone.
    stamp = time.gmtime(project.epoch)[:6]
    # The folder with the metadata comes last, as PEP 427 recommends.
    entries = sorted(files(stage), key=lambda file: (".dist-info" in str(file.relative_to(stage)), file))
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for file in entries:
            entry = zipfile.ZipInfo(str(file.relative_to(stage)), stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # A regular file with the rights that it has. `create_system` 3 says that these are rights of Unix.
            entry.external_attr = (0o100000 | file.stat().st_mode & 0o777) << 16
            entry.create_system = 3
            packed.writestr(entry, file.read_bytes())
