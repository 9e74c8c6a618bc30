# A handler of lists, one SELECT for many kittens; an element that is an error is that of its job:
# forkpool --batch 64 --handler samples/handlers/batch.py -i samples/kittens.ndjson
import sqlite3

db = sqlite3.connect(":memory:")
db.execute("create table meals (age, grams)")
db.executemany("insert into meals values (?, ?)", [(age, 150 + 20 * age) for age in range(1, 13)])


def meals(kittens):
    ages = [kitten["age"] for kitten in kittens]
    marks = ", ".join("?" * len(ages))
    grams = dict(db.execute(f"select age, grams from meals where age in ({marks})", ages))
    return [grams.get(age, LookupError(f"no meal at the age of {age}")) for age in ages]
