"""The one binary that is in all packages: linked statically, so that it runs on any Linux, and the same bytes wherever
it is built: no path of the machine is in it."""
import os
from pathlib import Path

from .project import ROOT, run


def build(project):
    """Builds the binary and returns where it is."""
    flags = ["-Ctarget-feature=+crt-static"]
    flags += [f"--remap-path-prefix={path}={name}" for path, name in paths(project)]
    # Flags that are given so take the place of those in RUSTFLAGS and in configuration files.
    env = os.environ | {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    # Without --target the flags would also be for build scripts and macros, which are libraries that are loaded.
    run(["cargo", "build", "--release", "--locked", f"--target={project.triple}"], env=env)
    return project.target / project.triple / "release" / project.name


def paths(project):
    """The folders whose names the compiler would write into the binary, for messages of panics, and what it is to write
    instead. Of two that fit it takes the later."""
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    system = Path(run(["rustc", "--print=sysroot"]).strip())
    # Sources of the standard library are there only where they were installed beside the compiler.
    found = [(system, "/rust"), (cargo, "/cargo"), (ROOT, "/forkpool"), (project.target, "/target")]
    # Crates are in a folder with the name of where they are from.
    found += [(source, "/crates") for source in sorted(cargo.glob("registry/src/*"))]
    return [(path.resolve(), name) for path, name in found]
