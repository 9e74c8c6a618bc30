"""The crate, as `cargo package` makes it, and its bill of materials beside it. What is in the crate is listed in Cargo.toml
under `include`."""
import shutil

from .bill import bill_of_materials, parts
from .project import run


def make(project, stage, out):
    # That it builds is shown by installing it from the packed file, which the tests do. Nothing is to be looked up: the
    # crates that it needs are here since the project was read.
    run(["cargo", "package", "--locked", "--offline", "--no-verify", "--allow-dirty", f"--target-dir={stage}"])
    name = f"{project.name}-{project.version}.crate"
    shutil.copyfile(stage / "package" / name, out / name)
    bill = out / f"{name}.cdx.json"
    bill.write_text(bill_of_materials(project, parts(project), []))
    return [out / name, bill]
