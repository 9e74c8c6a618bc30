"""What is in the binary: a bill of materials for programs (CycloneDX 1.5) and the licences for people. They are in all
packages of the binary. The completions of the shells are made here too: the binary writes them itself."""
import json
import platform
import re
import time
from pathlib import Path

from .project import ROOT, Failed, run

# Files of a crate that say under which terms it may be given on.
TERMS = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)
SHELLS = {"bash": "forkpool.bash", "zsh": "_forkpool", "fish": "forkpool.fish"}
LIBRARIES = """\
The Rust standard library {rust}: MIT OR Apache-2.0.

The GNU C library {libc}: LGPL-2.1-or-later. forkpool is linked with it statically. Its source is that of the
distribution where forkpool was built. The source of forkpool builds with any other version of it (cargo build).

"""


def texts(project, folder):
    """Writes the files and returns them: the bill, the licences of others, and the completions for each shell."""
    crates = parts(project)
    bill, licences = folder / "sbom.cdx.json", folder / "LICENSES-OF-PARTS"
    bill.write_text(bill_of_materials(project, crates, libraries()))
    licences.write_text(all_terms(crates))
    made = [bill, licences]
    for shell, name in SHELLS.items():
        made.append(folder / name)
        made[-1].write_text(run([str(project.binary), "--completions", shell]))
    return made


def parts(project):
    """The crates that the program is made of, without those that only its tests use."""
    nodes = {node["id"]: node for node in project.metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in project.metadata["packages"]}
    seen, waiting = set(), [project.package["id"]]
    while waiting:
        node = nodes[waiting.pop()]
        needed = [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        waiting += [one for one in needed if one not in seen]
        seen.update(needed)
    return sorted((packages[one] for one in seen), key=lambda package: (package["name"], package["version"]))


def versions():
    """Those of the libraries that the compiler and the machine bring."""
    name, libc = platform.libc_ver()
    if name != "glibc":
        raise Failed(f"the C library of this machine is {name or 'not known'}: packages are built with glibc")
    return {"rust": run(["rustc", "--version"]).split()[1], "libc": libc}


def libraries():
    """What is in the binary beside the crates."""
    found = versions()
    return [
        component("library", "rust-std", found["rust"], "MIT OR Apache-2.0", "generic"),
        component("library", "glibc", found["libc"], "LGPL-2.1-or-later", "generic"),
    ]


def bill_of_materials(project, crates, more):
    """The text of the bill for these crates and more components."""
    ours = component("application", project.name, project.version, project.license, "cargo")
    others = [component("library", one["name"], one["version"], one["license"], "cargo") for one in crates]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(project.epoch))
    metadata = {"timestamp": stamp, "component": ours}
    about = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1}
    return json.dumps({**about, "metadata": metadata, "components": others + more}, indent=1) + "\n"


def component(kind, name, version, licence, prefix):
    reference = f"pkg:{prefix}/{name}@{version}"
    licences = [{"expression": licence.replace("/", " OR ")}]
    about = {"type": kind, "bom-ref": reference, "name": name, "version": version}
    return {**about, "licenses": licences, "purl": reference}


def all_terms(crates):
    """The licences of all parts. A text that several crates have alike is there once."""
    owners = {}
    for crate in crates:
        folder = Path(crate["manifest_path"]).parent
        files = [file for file in sorted(folder.iterdir()) if TERMS.match(file.name) and file.is_file()]
        for file in files:
            text = file.read_text(errors="replace").strip()
            owners.setdefault(text, []).append(f"{crate['name']} {crate['version']} ({file.name})")
    listed = "".join(f"{crate['name']} {crate['version']}: {crate['license']}\n" for crate in crates)
    bodies = [f"{'=' * 80}\n{chr(10).join(names)}\n{'=' * 80}\n\n{text}\n\n" for text, names in owners.items()]
    return "forkpool is made of these parts.\n\n" + LIBRARIES.format(**versions()) + listed + "\n" + "".join(bodies)


def own_terms():
    return [ROOT / "LICENSE-APACHE", ROOT / "LICENSE-MIT"]
