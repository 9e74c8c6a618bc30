//! The tar file and the checksums.

use crate::command;
use crate::made::packages;
use crate::offline;

#[test]
fn the_checksums_are_those_of_all_packages() {
    let Some(made) = packages() else { return };
    let checked = offline::run(offline::script("cd \"$1\" && sha256sum --check --strict SHA256SUMS", [&made.out]));
    assert_eq!(checked.lines().count(), made.names().len() - 1, "each file but the list itself: {checked}");
}

#[test]
fn a_tar_file_is_unpacked_and_used_with_its_manual_and_samples() {
    let Some(made) = packages() else { return };
    let folder = made.unpacked("forkpool-", "-linux.tar.gz");
    for file in ["share/man/man1/forkpool.1", "completions/_forkpool", "samples/pet.py", "sbom.cdx.json", "LICENSE-MIT"]
    {
        assert!(folder.path().join(file).is_file(), "{file} is in it");
    }
    let bin = folder.path().join("bin");
    command::check_the_three_ways(&bin);
    command::check_the_statuses(bin.join("forkpool").to_str().unwrap());
}
