import csv
import json
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor

sys.path.insert(0, "samples/handlers")
from pet import pet_kitten


def attempt(kitten):
    try:
        return {"status": "ok", "data": pet_kitten(kitten)}
    except Exception as error:
        fields = {"name": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
        return {"status": "error", "error": fields}


if __name__ == "__main__":
    failed = False
    with open("samples/names.csv", encoding="utf-8", newline="") as file, ProcessPoolExecutor(2) as pool:
        for job, record in enumerate(pool.map(attempt, csv.DictReader(file), chunksize=64), 1):
            print(json.dumps({"job": job, **record}))
            failed = failed or record["status"] != "ok"
    sys.exit(failed)
