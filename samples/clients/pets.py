# A pool inside of a program: PYTHONPATH=src/clients/python python3 samples/clients/pets.py
import csv

import forkpool

PET = "samples/handlers/pet.py"

# Many jobs: a record for each, in their order.
with open("samples/names.csv", encoding="utf-8", newline="") as file:
    for record in forkpool.run(PET, csv.DictReader(file), workers=2, timeout=5):
        if record["status"] != "ok":
            print(record["job"], record["error"]["message"])

# One at a time, whenever there is one.
with forkpool.Pool(PET, workers=2) as pool:
    print(pool.submit({"name": "Tom"}).result())
    try:
        pool.submit({"name": "Felix"}).result()
    except forkpool.JobError as error:
        print(f"{error.name} ({error.code}): {error.message}")
