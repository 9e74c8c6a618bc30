"""The Debian package, made by dpkg-deb. It depends on nothing, so it can be installed on every Debian and Ubuntu."""
import hashlib
import os
import re
import time

from .bill import SHELLS
from .project import PAGES, ROOT, run
from .samples import put_samples
from .tree import compress, files, put, settle, write

REVISION = "1"
# Who builds the package; the two variables are those of Debian's own tools.
MAINTAINER = "{} <{}>".format(
    os.environ.get("DEBFULLNAME", "The maintainers of forkpool"),
    os.environ.get("DEBEMAIL", "maintainers@forkpool.invalid"),
)
# Where each shell looks for the completions of packages.
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/forkpool",
    "zsh": "usr/share/zsh/vendor-completions/_forkpool",
    "fish": "usr/share/fish/vendor_completions.d/forkpool.fish",
}
DESCRIPTION = """\
 forkpool starts workers once, keeps them warm, hands each job to a free one
 over a pipe, and writes one record per job, in the order of the input. Jobs are
 lines of JSON, rows of a table or plain lines; a worker is a function in
 JavaScript, Python, Ruby, PHP or Perl, any line filter, or any program.
 .
 Workers that crash or hang are replaced, failed jobs can be retried, a run that
 was killed can go on, and workers may be on other machines.
"""
# Debian has the text of the Apache License in one place for all packages.
COPYRIGHT = """\
forkpool is licensed under the Apache License, version 2.0, or the MIT license,
at your option. The first is in /usr/share/common-licenses/Apache-2.0, the second
follows. What the program is made of, and under which licenses, is in
/usr/share/doc/forkpool/LICENSES-OF-PARTS.gz.

"""
# What lintian takes for mistakes: the binary is static on purpose, and no bug of Debian asks for the package.
OVERRIDES = """\
forkpool: shared-library-lacks-prerequisites [usr/bin/forkpool]
forkpool: initial-upload-closes-no-bugs [usr/share/doc/forkpool/changelog.Debian.gz:1]
"""


def make(project, stage, out):
    version = f"{project.version}-{REVISION}"
    usr = stage / "usr"
    put(project.binary, usr / "bin" / project.name, executable=True)
    for page, section in PAGES:
        compress((ROOT / "man" / page).read_bytes(), usr / "share/man" / f"man{section}" / f"{page}.gz")
    texts = {text.name: text for text in project.texts}
    for shell, place in COMPLETIONS.items():
        put(texts[SHELLS[shell]], stage / place)
    documents(project, texts, usr / "share/doc" / project.name, version)
    write(usr / "share/lintian/overrides" / project.name, OVERRIDES)
    size = sum(-(-file.stat().st_size // 1024) for file in files(usr))
    sums = [f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(stage)}\n" for file in files(usr)]
    write(stage / "DEBIAN/control", control(project, version, size))
    write(stage / "DEBIAN/md5sums", "".join(sums))
    settle(stage, project.epoch)
    made = out / f"{project.name}_{version}_{project.called('deb')}.deb"
    # With several threads xz cuts its blocks by their number, so the bytes would depend on the machine.
    words = ["dpkg-deb", "--root-owner-group", "-Zxz", "--threads-max=1", "--build", str(stage), str(made)]
    run(words, env=os.environ | {"SOURCE_DATE_EPOCH": str(project.epoch)})
    return [made]


def control(project, version, size):
    fields = {
        "Package": project.name,
        "Version": version,
        "Architecture": project.called("deb"),
        "Maintainer": MAINTAINER,
        "Installed-Size": size,
        "Section": "utils",
        "Priority": "optional",
        "Multi-Arch": "foreign",
        "Suggests": "nodejs, openssh-client, perl, php-cli, python3, ruby",
        "Description": re.sub(r"^Run", "run", project.summary.split(":")[0]),
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + DESCRIPTION


def documents(project, texts, folder, version):
    compress((ROOT / "CHANGELOG.md").read_bytes(), folder / "changelog.gz")
    when = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(project.epoch))
    entry = f"  * Version {project.version}: see changelog.gz.\n\n -- {MAINTAINER}  {when}\n"
    compress(f"{project.name} ({version}) unstable; urgency=medium\n\n{entry}".encode(), folder / "changelog.Debian.gz")
    compress((ROOT / "README.md").read_bytes(), folder / "README.md.gz")
    compress(texts["sbom.cdx.json"].read_bytes(), folder / "sbom.cdx.json.gz")
    compress(texts["LICENSES-OF-PARTS"].read_bytes(), folder / "LICENSES-OF-PARTS.gz")
    write(folder / "copyright", COPYRIGHT + (ROOT / "LICENSE-MIT").read_text())
    put_samples(folder / "examples")
