"""A process per job: the job is the argument."""
import json
import sys

from handler import handle

print(json.dumps(handle(json.loads(sys.argv[1])), separators=(",", ":"), ensure_ascii=False))
