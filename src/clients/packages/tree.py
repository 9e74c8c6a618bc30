"""Files of a package that is being made: put into a folder, with the time and the rights that they are to have."""
import gzip
import os
import shutil


def put(source, target, executable=False):
    """Copies a file. What is in the way of the folders above it is an error, as two files of one name are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as content, open(target, "xb") as copy:
        shutil.copyfileobj(content, copy)
    target.chmod(0o755 if executable else 0o644)


def write(target, text, executable=False):
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "x", encoding="utf-8") as file:
        file.write(text)
    target.chmod(0o755 if executable else 0o644)


def compress(content, target):
    """As `gzip -9n` does: without name and time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)
    target.chmod(0o644)


def settle(folder, epoch):
    """Gives all files and folders one time, and folders the usual rights whatever the umask is."""
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.utime(os.path.join(path, name), (epoch, epoch))
        os.chmod(path, 0o755)
        os.utime(path, (epoch, epoch))


def files(folder):
    """All files below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
