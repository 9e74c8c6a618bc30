# A handler with a table in memory, which is loaded once for all workers; Linux:
# forkpool --preload --handler samples/handlers/census.py -i samples/kittens.ndjson
import csv
from pathlib import Path

with open(Path(__file__).parent.parent / "names.csv") as file:
    percent = {row["name"]: float(row["percent"]) for row in reversed(list(csv.DictReader(file)))}


def share(kitten):
    return {"name": kitten["name"], "percent": percent.get(kitten["name"])}
