# A handler, one plain function: forkpool --handler samples/handlers/pet.py -i samples/names.csv
class KittenBites(Exception):
    code = "E_TEETH"


def pet_kitten(kitten):
    name = kitten["name"]
    if name.endswith("x"):
        raise KittenBites(f"{name} bites")
    return {"name": name, "petted": True, "purr": "p" + "r" * len(name)}
