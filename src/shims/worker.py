# The worker around a Python handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. A job
# is answered before the next one starts; with a concurrency above 1 coroutines run at once.
#
# The handler is given a second argument (progress, attempt, job) if its second parameter has no default or is
# named `context`. Whatever it raises, SystemExit included, is the error of its job; os._exit ends the worker.
import atexit
import errno
import importlib.util
import inspect
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections import deque

SPEC = json.loads(sys.argv[1])
FILE, ROUTE, CONCURRENCY = SPEC["file"], SPEC["route"], SPEC["concurrency"]

# --- errors, in the form of the npm package serialize-error

DEPTH = 20  # levels of nested causes and values
TEXT = 100_000  # characters of one text
TOTAL = 1_000_000  # characters of the whole error
DIGITS = 8192  # bits of a number that is still written as one: Python refuses to print very long ones


class Serializer:
    """An exception as JSON values."""

    def __init__(self):
        self.path = []  # the objects around the present one: to meet one of them again is a cycle
        self.left = TOTAL

    def text(self, string):
        most = max(0, min(TEXT, self.left))
        self.left -= min(len(string), most)
        cut = string[:most] + "…" if len(string) > most else string
        return cut.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair is no text

    def value(self, any):
        self.left -= 8  # numbers and brackets count as well
        if any is None or isinstance(any, bool):
            return any
        if isinstance(any, int):
            return int(any) if any.bit_length() < DIGITS else self.text(hex(any))
        if isinstance(any, float):
            return float(any) if any - any == 0 else None
        if isinstance(any, str):
            return self.text(any)
        if isinstance(any, (bytes, bytearray, memoryview)):
            return f"[object {type(any).__name__}]"
        if not isinstance(any, (BaseException, dict, list, tuple, set, frozenset)):
            return self.text(as_text(any))
        if id(any) in self.path:
            return "[Circular]"
        if len(self.path) >= DEPTH:
            return "[Too deep]"
        self.path.append(id(any))
        try:
            return self.members(any)
        except Exception:
            return "[Throws]"
        finally:
            self.path.pop()

    def members(self, any):
        if isinstance(any, BaseException):
            return self.error(any)
        if isinstance(any, dict):
            return self.fields(any)
        return [self.value(item) for item in any if self.left > 0]

    def error(self, error):
        group = read(error, "exceptions")
        # A group's text counts its members, which are listed here.
        message = self.text(as_text(error if group is None else read(error, "message") or error))
        name = self.text(type(error).__name__)
        out = {"name": name, "message": message, "stack": self.text(stack(error, name, message))}
        fields = {key: item for key, item in vars(error).items() if not key.startswith("_")}
        # These are often set once, for the whole class.
        for key in ("code", "retryable", "retry_after"):
            fields.setdefault(key, read(error, key))
        if isinstance(error, OSError) and error.errno is not None:
            fields = {"errno": error.errno, "path": error.filename, **fields}
            fields["code"] = fields["code"] or errno.errorcode.get(error.errno)
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        fields = {"code": fields.pop("code"), "cause": cause, "errors": group, **fields}
        fields.pop("exceptions", None)
        others = {key: item for key, item in fields.items() if item is not None and key not in out}
        return {**out, **self.fields(others)}

    def fields(self, fields):
        out = {}
        for key, item in fields.items():
            if self.left <= 0:
                break
            key = self.text(as_text(key))
            out[key] = self.value(item)
        return out


def read(error, key):
    try:
        return getattr(error, key, None)
    except Exception:
        return "[Throws]"


def as_text(any):
    try:
        return str(any)
    except Exception:
        return "[Throws]"


def stack(error, name, message):
    """As Python prints it, without the lines of this program and of the import machinery."""
    at = error.__traceback__
    while at and at.tb_frame.f_code.co_filename.startswith("<"):
        at = at.tb_next
    last = f"{name}: {message}"
    if isinstance(error, SyntaxError):  # whose place is not in the traceback
        last = "".join(traceback.format_exception_only(type(error), error.with_traceback(None))).rstrip()
    return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(at)) + last if at else last


def error_json(error):
    try:
        return json.dumps(Serializer().value(error), ensure_ascii=False, allow_nan=False)
    except BaseException as failure:  # out of memory, or of stack
        return json.dumps({"name": type(error).__name__, "message": f"cannot be shown: {type(failure).__name__}"})


# --- replies

OUT = 4
one_at_a_time = threading.Lock()  # a handler's threads may report progress


def send(line):
    data = line.encode()
    with one_at_a_time:
        try:
            sent = os.write(OUT, data)
            while sent < len(data):
                sent += os.write(OUT, memoryview(data)[sent:])
        except BrokenPipeError:
            os._exit(0)  # nobody is there any more


def send_error(id, error):
    send(f'{{"id":{id},"status":"error","error":{error_json(error)}}}\n')


def fatal(error):
    send(f'{{"status":"fatal","error":{error_json(error)}}}\n')
    os._exit(1)


# A cycle ends in a RecursionError; NaN and Infinity are no JSON and end in a ValueError.
form = {"check_circular": False, "allow_nan": False, "separators": (",", ":")}
encoder = json.JSONEncoder(ensure_ascii=False, **form)
encode_ascii = json.JSONEncoder(**form).encode
decode = json.JSONDecoder().scan_once
try:
    # What encoder.encode makes anew in each call: a fifth of the time of a small job.
    chunks = json.encoder.c_make_encoder(
        None, encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
    )
except TypeError:  # another Python than CPython
    chunks = encoder.iterencode


def encode(data):
    text = "".join(chunks(data, 0))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which only an escape can carry
            return encode_ascii(data)
    return text


class Context:
    """The handler's second argument."""

    def __init__(self, job, attempt):
        self.job = job
        self.attempt = attempt

    def progress(self, data):
        send(f'{{"id":{self.job},"status":"progress","data":{encode(data)}}}\n')


# --- the handler


def load():
    """Imports the file as `python FILE` would: its folder comes first in the path."""
    sys.argv = [FILE]
    folder, name = os.path.split(FILE)
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    sys.path.insert(0, folder)
    name = os.path.splitext(name)[0]
    if name in sys.modules:
        name = f"handler_{name}"
    spec = importlib.util.spec_from_file_location(name, FILE)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refuse(reason, names):
    raise LookupError(f"{reason}; there are: {', '.join(names)}" if names else reason)


def own_functions(module):
    """The public functions that the file itself defines, by name."""

    def is_own(name, any):
        own = getattr(any, "__module__", None) == module.__name__
        return own and callable(any) and not inspect.isclass(any) and not name.startswith("_")

    return {name: any for name, any in vars(module).items() if is_own(name, any)}


def choose(module, functions):
    named = SPEC["function"]
    if named:
        function = vars(module).get(named)
        return function if callable(function) else refuse(f"{FILE} has no function {named}", functions)
    if not functions:
        refuse(f"{FILE} has no function of its own", functions)
    if "handler" in functions or len(functions) == 1:
        return functions.get("handler") or next(iter(functions.values()))
    refuse(f"{FILE} has several functions", functions)


def routed(functions):
    """With --route, the job's own choice among the file's functions."""

    def function(data, context):
        name = data.get(ROUTE) if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in functions:
            refuse(f"no function to route {json.dumps(name)} to", list(functions))
        return functions[name](data, context)

    return function


def with_context(function):
    """The function as one of (data, context), whatever it takes itself."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) > 1:
        second = parameters[1]
        if second.kind in (second.POSITIONAL_ONLY, second.POSITIONAL_OR_KEYWORD):
            if second.default is second.empty or second.name == "context":
                return function
    return lambda data, context: function(data)


def is_asynchronous(function):
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


# --- jobs


def parse(line):
    """Id, attempt and data, or None after an error reply: Python refuses some JSON, such as very deep nesting."""
    try:
        job = decode(line.decode(), 0)[0]
        return job["id"], job.get("attempt", 1), job["data"]
    except (ValueError, RecursionError) as error:
        send_error(re.match(rb'{"id":(\d+)', line)[1].decode(), error)


def reply(id, result):
    try:
        send(f'{{"id":{id},"status":"ok","data":{encode(result)}}}\n')
    except RecursionError:
        raise ValueError("the result is circular, or too deep for JSON") from None


def new_event_loop():
    import asyncio  # here, since it takes longer than all the rest, and most handlers do without it

    return asyncio.new_event_loop()


def serve(function):
    """One job after the other, in this thread."""
    loop = None
    for line in open(3, "rb", buffering=1 << 16):
        job = parse(line)
        if job is None:
            continue
        id, attempt, data = job
        try:
            result = function(data, Context(id, attempt))
            if inspect.isawaitable(result):
                loop = loop or new_event_loop()
                result = loop.run_until_complete(result)
            reply(id, result)
        except BaseException as error:
            send_error(id, error)


async def serve_tasks(function, loop):
    """Each job is a task, and as many run at once as the concurrency says."""
    waiting, running, ended = deque(), set(), loop.create_future()
    at_end = False
    begun = []

    async def run(line):
        job = parse(line)
        if job is None:
            return
        id, attempt, data = job
        try:
            result = function(data, Context(id, attempt))
            if inspect.isawaitable(result):
                result = await result
            reply(id, result)
        except BaseException as error:
            send_error(id, error)

    def start(finished=None):
        running.discard(finished)
        while waiting and len(running) < CONCURRENCY:
            task = loop.create_task(run(waiting.popleft()))
            running.add(task)
            task.add_done_callback(start)
        if at_end and not running and not ended.done():
            ended.set_result(None)

    def receive():
        nonlocal at_end
        piece = os.read(3, 1 << 16)
        if not piece:
            at_end = True
            loop.remove_reader(3)
        else:
            first, *lines = piece.split(b"\n")
            begun.append(first)
            for line in lines:
                waiting.append(b"".join(begun))
                begun[:] = [line]
        start()

    loop.add_reader(3, receive)
    await ended


def main():
    for descriptor in (3, OUT):
        os.set_inheritable(descriptor, False)
    # forkpool says when to end. (Children of the handler do not inherit this.)
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.stdout.reconfigure(line_buffering=True)
    try:
        module = load()
        functions = own_functions(module)
        if not ROUTE:
            handler = choose(module, functions)
            function, asynchronous = with_context(handler), is_asynchronous(handler)
        elif functions:
            function = routed({name: with_context(function) for name, function in functions.items()})
            asynchronous = any(map(is_asynchronous, functions.values()))
        else:
            refuse(f"{FILE} has no function of its own", functions)
    except BaseException as error:
        fatal(error)
    send('{"status":"ready"}\n')
    if asynchronous or CONCURRENCY > 1:
        loop = new_event_loop()
        loop.run_until_complete(serve_tasks(function, loop))
    else:
        serve(function)
    # Threads that the handler left behind keep nobody alive.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


main()
