"""A card and a core for each worker. FORKPOOL_SLOT is the number of the worker's slot, from 0; a worker that replaces
another has the same."""

import os
import time

CARDS = 2

# This must come before the import of the library that uses the cards: it sees only those that are named here.
os.environ["CUDA_VISIBLE_DEVICES"] = str(int(os.environ["FORKPOOL_SLOT"]) % CARDS)


def embed(kitten):
    time.sleep(0.1)  # here the card would work
    return {"card": os.environ["CUDA_VISIBLE_DEVICES"], "cores": sorted(os.sched_getaffinity(0))}
