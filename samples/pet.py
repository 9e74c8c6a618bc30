#!/usr/bin/env python3
# A worker written by hand: one JSON line in, one out. forkpool -i samples/names.csv -- python3 samples/pet.py
import json
import sys
import traceback


class KittenBites(Exception):
    code = "E_TEETH"


def pet_kitten(kitten):
    name = kitten["name"]
    if name.endswith("x"):
        raise KittenBites(f"{name} bites")
    return {"name": name, "petted": True, "purr": "p" + "r" * len(name)}


def serialize(error):
    data = {"name": type(error).__name__, "message": str(error), "stack": traceback.format_exc()}
    if hasattr(error, "code"):
        data["code"] = error.code
    return data


for line in sys.stdin.buffer:  # bytes: JSON is UTF-8, whatever the locale
    if not line.strip():
        continue
    job = json.loads(line)
    try:
        reply = {"id": job["id"], "status": "ok", "data": pet_kitten(job["data"])}
    except Exception as error:
        reply = {"id": job["id"], "status": "error", "error": serialize(error)}
    print(json.dumps(reply), flush=True)  # without flush it would stay in a buffer
