"""The packages of npm: `@forkpool/linux-x64` holds the binary, `forkpool` the client, and a command that finds the
binary.

npm installs the first for the second, and leaves it out on other machines. Nothing is run while they are installed. In
a project node_modules/.bin/forkpool is the binary itself: of two packages with one command npm links the one whose
folder comes first, and `@` comes before all letters. Where it is installed globally the command is
src/clients/node/forkpool.sh, which becomes the binary by exec."""
import json
import os

from .bill import own_terms
from .project import PAGES, ROOT, run
from .tree import put, settle, write

CLIENT = ROOT / "src/clients/node"


def make(project, stage, out):
    binary = f"@{project.name}/linux-{project.called('npm')}"
    own = {"version": project.version, "license": project.license}
    holder = stage / "holder"
    put(project.binary, holder / "bin" / project.name, executable=True)
    about = {
        "name": binary,
        "description": f"The program of the package {project.name} for Linux on {project.processor}",
        "os": ["linux"],
        "cpu": [project.called("npm")],
        "bin": {project.name: f"bin/{project.name}"},
        # Yarn keeps packages as zip files, of which no program can be started.
        "preferUnplugged": True,
    }
    finish(project, holder, {**about, **own})
    client = stage / "client"
    for file in CLIENT.iterdir():
        if file.suffix in (".js", ".ts"):
            put(file, client / file.name)
    put(CLIENT / "forkpool.sh", client / "bin" / project.name, executable=True)
    for page, _ in PAGES:
        put(ROOT / "man" / page, client / "man" / page)
    put(ROOT / "README.md", client / "README.md")
    about = json.loads((CLIENT / "package.json").read_text())
    del about["private"]
    about["description"] = project.summary
    about["keywords"] = project.package["keywords"]
    about["bin"] = {project.name: f"bin/{project.name}"}
    about["man"] = [f"man/{page}" for page, _ in PAGES]
    about["optionalDependencies"] = {binary: project.version}
    finish(project, client, {**about, **own})
    return [pack(folder, stage, out) for folder in (holder, client)]


def finish(project, folder, about):
    """What both have: the licences, the bill of materials, and package.json, which lists all files."""
    of_parts = [text for text in project.texts if text.name in ("sbom.cdx.json", "LICENSES-OF-PARTS")]
    for text in [*own_terms(), *of_parts]:
        put(text, folder / text.name)
    about["files"] = sorted(entry.name for entry in folder.iterdir())
    write(folder / "package.json", json.dumps(about, indent=2) + "\n")
    settle(folder, project.epoch)


def pack(folder, stage, out):
    words = ["npm", "pack", "--ignore-scripts", "--silent", "--json", f"--pack-destination={out.resolve()}"]
    # npm keeps logs and a cache, which are none of the user's.
    env = os.environ | {"npm_config_cache": str(stage / "cache"), "npm_config_update_notifier": "false"}
    done = json.loads(run(words, folder, env=env))
    # A list up to npm 11.5 or so, later an object with the package's name as its key.
    entry = done[0] if isinstance(done, list) else next(iter(done.values()))
    # In older versions the name still has the `@` and the `/` of the scope, which the file has not.
    return out / entry["filename"].replace("@", "").replace("/", "-")
