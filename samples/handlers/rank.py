# A handler with a connection of its own, which `connect` makes once in each worker:
# forkpool --handler samples/handlers/rank.py --init connect -i samples/kittens.ndjson
import csv
import sqlite3
from pathlib import Path

names = None


def connect():
    global names
    names = sqlite3.connect(":memory:")
    names.execute("CREATE TABLE names (name PRIMARY KEY ON CONFLICT IGNORE, rank)")
    with open(Path(__file__).parent.parent / "names.csv") as file:
        names.executemany("INSERT INTO names VALUES (:name, :rank)", csv.DictReader(file))


def rank(kitten):
    row = names.execute("SELECT rank FROM names WHERE name = ?", [kitten["name"]]).fetchone()
    return {"name": kitten["name"], "rank": int(row[0]) if row else None}
