# A visit to the vet takes its time, and not all go well. README.md shows the page that tells of such a run.
import os
import time


class KittenBites(Exception):
    pass


def visit(kitten):
    name, rank = kitten["name"], int(kitten["rank"])
    time.sleep(0.001 + 0.0005 * (rank % 7) + (0.03 if rank % 101 == 0 else 0))
    if name.endswith("x"):
        raise KittenBites(f"{name} bites")
    if rank % 53 == 0:
        raise TimeoutError(f"no appointment before {9 + rank % 8}:{rank % 60:02}")
    if rank % 389 == 0:
        os._exit(7)
    return {"vaccinated": True}
