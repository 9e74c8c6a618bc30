# Raises the cases of errors.json.
class KittenBites(Exception):
    def __init__(self, message="", **fields):
        super().__init__(message)
        vars(self).update(fields)


class KittensBite(KittenBites):
    pass


class Mute(KittenBites):
    def __str__(self):
        raise ValueError("no")


class Secret:
    def __str__(self):
        raise ValueError("no")


class Touchy(KittenBites):
    @property
    def code(self):
        raise ValueError("no")


class Numbered(KittenBites, OSError):
    @property
    def errno(self):
        raise ValueError("no")


def noted():
    error = KittenBites("Tom bites")
    error.__notes__ = ["row 17", "of names.csv"]  # what add_note does, from Python 3.11 on
    return error


Numbered.__name__ = Touchy.__name__ = Mute.__name__ = "KittenBites"


def caused(message, cause):
    error = KittenBites(message)
    error.__cause__ = cause
    return error


def cycle():
    error = KittenBites("round")
    error.self = error
    error.collar = {"of": error}
    return error


def twice():
    collar = {"bells": 1}
    return KittenBites("Tom bites", first=collar, second=collar)


def deep_chain():
    error = KittenBites("deep")
    for _ in range(4999):
        error = caused("deep", error)
    return error


def in_handling():
    try:
        raise KittenBites("inner")
    except KittenBites:
        try:
            raise KittenBites("outer")
        except KittenBites as error:
            return error


CASES = {
    "plain": lambda: KittenBites("Tom bites"),
    "empty_message": lambda: KittenBites(""),
    "unicode": lambda: KittenBites('Jürgen 🐾 "bites"\n\0'),
    "code": lambda: KittenBites("Tom bites", code="E_TEETH"),
    "own_fields": lambda: KittenBites("Tom bites", paws=4, collar={"bells": [1, "two", True, None]}),
    "retry_advice": lambda: KittenBites("later", retryable=False, retry_after=2.5),
    "cause_chain": lambda: caused("outer", caused("middle", KittenBites("inner"))),
    "raised_while_handling": in_handling,
    "error_in_a_field": lambda: KittenBites("Tom bites", victim=KittenBites("ouch")),
    "aggregate": lambda: KittensBite("all bite", exceptions=(KittenBites("one"), KittenBites("two"))),
    "cycle": cycle,
    "twice_is_no_cycle": twice,
    "deep_chain": deep_chain,
    "throwing_field": lambda: KittenBites("Tom bites", teeth=Secret(), paws=4),
    "throwing_message": Mute,
    "throwing_code": lambda: Touchy("Tom bites"),
    "not_a_number": lambda: KittenBites("Tom bites", weight=float("nan")),
    "system_error": lambda: FileNotFoundError(2, "No such file or directory", "tom.txt"),
    "notes": noted,
    "odd_fields": lambda: Numbered("Tom bites", status=422),
    "large": lambda: KittenBites("m" * 1_000_000, list=["x" * 100] * 100_000),
}


def handler(job):
    raise CASES[job["name"]]()
