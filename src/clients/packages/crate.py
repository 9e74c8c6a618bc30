"""The crate, as `cargo package` makes it. What is in it is listed in Cargo.toml under `include`."""
import shutil

from .project import run


def make(project, stage, out):
    # That it builds is shown by installing it from the packed file, which the tests do. Nothing is to be looked up: the
    # crates that it needs are here since the project was read.
    run(["cargo", "package", "--locked", "--offline", "--no-verify", "--allow-dirty", f"--target-dir={stage}"])
    name = f"{project.name}-{project.version}.crate"
    shutil.copyfile(stage / "package" / name, out / name)
    return [out / name]
