"""`python -m forkpool`: the command. The process becomes forkpool, so signals and exit statuses are its own."""
import os
import sys

from . import PoolError
from ._command import _find

try:
    program = _find()
    os.execv(program, ["forkpool", *sys.argv[1:]])
except PoolError as error:
    sys.exit(f"forkpool: {error}")
except OSError as error:
    sys.exit(f"forkpool: {program} cannot be started: {error.strerror}")
