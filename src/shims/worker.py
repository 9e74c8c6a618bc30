# The worker around a Python handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. A job
# is answered before the next one starts; with a concurrency above 1 coroutines run at once. In batches the jobs up to an
# empty line are one call, which takes and returns lists, and whose answers are one write.
#
# The handler is given a second argument (progress, attempt, job) if its second parameter has no default or is
# named `context`. Whatever it raises, SystemExit included, is the error of its job; os._exit ends the worker. A result
# that JSON has no form for is an error that says where it sits.
#
# The function of --init is called before the worker is ready; a coroutine of it runs in the loop that the handler's run
# in.
import sys

if sys.path[:1] == [""]:
    del sys.path[0]  # the current folder has none of what follows

import atexit
import errno
import importlib.util
import inspect
import json
import os
import re
import signal
import threading
import traceback
from collections import deque
from functools import partial

# In a locale without UTF-8 arguments are half surrogates, and paths must be.
SPEC = json.loads(os.fsencode(sys.argv[1]))
FILE, ROUTE, INIT, CONCURRENCY, BATCH = (SPEC[key] for key in ("file", "route", "init", "concurrency", "batch"))
PATIENCE = 1.0  # seconds that executors may take to end, once there are no more jobs
is_child = False  # whether this is a child that the handler has forked


def mark_child():
    global is_child
    is_child = True


os.register_at_fork(after_in_child=mark_child)

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
        cut = string[:most] + "\u2026" if len(string) > most else string
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
        own = BaseException.__getattribute__(error, "__dict__")
        fields = {key: item for key, item in own.items() if not as_text(key).startswith("_")}
        # These are often set once, for the whole class.
        for key in ("code", "retryable", "retry_after", "pause"):
            fields.setdefault(key, read(error, key))
        number = read(error, "errno") if isinstance(error, OSError) else None
        if number is not None:
            fields = {"errno": number, "path": read(error, "filename"), **fields}
            if fields["code"] is None and isinstance(number, int):
                fields["code"] = errno.errorcode.get(number)
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        notes = read(error, "__notes__")
        fields = {"code": fields.pop("code"), "notes": notes, "cause": cause, "errors": group, **fields}
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
    if isinstance(error, SyntaxError) or read(error, "__notes__"):  # what is not in the traceback: a place, notes
        try:
            last = "".join(traceback.format_exception_only(type(error), error)).rstrip()
        except Exception:
            pass  # something odd in one of its fields, which is shown there
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
    if is_child:
        leave_child(error)
    send(f'{{"id":{id},"status":"error","error":{error_json(error)}}}\n')


def fatal(error, status="fatal"):
    if is_child:
        leave_child(error)
    send(f'{{"status":"{status}","error":{error_json(error)}}}\n')
    os._exit(1)


def leave_child(error=None):
    """Ends a child that the handler has forked, which must not answer for its parent nor take a job of its own."""
    status = 0 if error is None else 1
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        status = error.code or 0
    elif error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


# --- results


class NoForm(TypeError):
    """Of a value that JSON has no form for."""


def form(any):
    """An object that json does not know as Python people mean it; by its looks, so that no library is imported."""
    kind = type(any)
    if isinstance(any, (type, BaseException, memoryview)):
        raise NoForm
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in kind.__mro__}
    if names & {"pandas.NAType", "pandas.NaTType"}:
        return None
    if hasattr(kind, "__members__"):  # an Enum
        return any.value
    if hasattr(kind, "isoformat"):  # date, time, datetime, Timestamp
        return any.isoformat()
    if names & {"datetime.timedelta"}:
        return span(any)
    if names & {"decimal.Decimal"}:
        return str(any) if any.is_finite() else None
    if names & {"uuid.UUID", "ipaddress._IPAddressBase"}:
        return str(any)
    if hasattr(kind, "__fspath__"):
        return any.__fspath__()
    if hasattr(kind, "__dataclass_fields__"):
        return {field.name: getattr(any, field.name) for field in sys.modules["dataclasses"].fields(any)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: getattr(any, field.name) for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_dump"):  # pydantic, and before its version 2
        return any.model_dump(mode="json")
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):
        return any.dict()
    return table_form(any, kind)


def table_form(any, kind):
    """Tables, rows, columns, arrays and scalars, of numpy, pandas, polars, torch and the like, and other mappings."""
    if hasattr(kind, "to_dicts"):
        return any.to_dicts()
    if hasattr(kind, "to_dict") and hasattr(kind, "columns"):
        if not getattr(any.columns, "is_unique", True):
            raise NoForm("with columns of one name is no JSON")
        return any.to_dict("records")
    if hasattr(kind, "to_dict") and hasattr(kind, "index"):  # a column is a list, and a row has labels
        if any.index.inferred_type in ("integer", "empty"):
            return any.tolist()
        if not getattr(any.index, "is_unique", True):
            raise NoForm("with labels that repeat is no JSON")
        return any.to_dict()
    unit = getattr(any, "dtype", None)
    if getattr(unit, "kind", None) == "m":  # spans of time, which would be bare numbers
        if not hasattr(kind, "astype"):
            raise NoForm
        any = any.astype("timedelta64[us]")
    if getattr(unit, "kind", None) == "M" and hasattr(kind, "astype"):
        any = any.astype("datetime64[us]")  # finer ones would be bare numbers
    for method in ("tolist", "to_list", "to_pylist", "as_py"):
        if hasattr(kind, method):
            plainer = getattr(any, method)()
            return float(plainer) if type(plainer) is kind else plainer
    if callable(getattr(kind, "keys", None)) and hasattr(kind, "__getitem__"):
        return dict(any)
    raise NoForm


def span(any):
    """A timedelta as ISO 8601 and pandas write it: P1DT2H0M3.5S."""
    minutes, seconds = divmod(any.seconds, 60)
    fraction = f".{any.microseconds:06}".rstrip("0") if any.microseconds else ""
    return f"P{any.days}DT{minutes // 60}H{minutes % 60}M{seconds}{fraction}S"


def plain(any, path="$"):
    """What json knows, and nothing else: NaN and infinities are None. Raises a TypeError that names the place."""
    if any is None or isinstance(any, (str, int)):
        return any
    if isinstance(any, float):
        return float(any) if any - any == 0 else None
    if isinstance(any, (list, tuple)):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(any)]
    if isinstance(any, dict):
        return {plain_key(key, path): plain(item, path + step(key)) for key, item in any.items()}
    try:
        plainer = form(any)
    except NoForm as why:
        raise TypeError(f"{path}: {a_kind(any)} {why if why.args else 'is no JSON'}") from None
    return plain(plainer, path)


def plain_key(any, path):
    key = any
    if not isinstance(key, (str, int, float, type(None))):
        try:
            key = form(any)
        except NoForm:
            pass
    if isinstance(key, (str, int, float, type(None))):
        return "NaN" if key != key else key
    raise TypeError(f"{path}: {a_kind(any)} is no key of JSON")


def step(key):
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{json.dumps(as_text(key))}]"


def a_kind(any):
    name = type(any).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


# A cycle ends in a RecursionError; NaN and Infinity are no JSON and end in a ValueError.
form_of = {"check_circular": False, "allow_nan": False, "separators": (",", ":"), "default": form}
encoder = json.JSONEncoder(ensure_ascii=False, **form_of)
encode_ascii = json.JSONEncoder(**form_of).encode
decode = json.JSONDecoder().scan_once
try:
    # What encoder.encode makes anew in each call: a fifth of the time of a small job.
    chunks = json.encoder.c_make_encoder(
        None, form, json.encoder.encode_basestring, None, ":", ",", False, False, False
    )
except TypeError:  # another Python than CPython
    chunks = encoder.iterencode


def encode(data):
    try:
        text = "".join(chunks(data, 0))
    except (TypeError, ValueError):
        data = plain(data)
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
    """Imports the file. Its folder comes first in the path, as with `python FILE`; but it is not the program."""
    sys.argv = ["-c"]
    file = os.fsdecode(FILE.encode())
    folder, name = os.path.split(file)
    sys.path.insert(0, folder)
    name = os.path.splitext(name)[0]
    if name in sys.modules:
        name = f"handler_{name}"
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refuse(reason, names):
    raise LookupError(f"{reason}; there are: {', '.join(names)}" if names else reason)


def own_functions(module):
    """The public functions that the file itself defines, by name, or those in its `__all__`."""
    public = getattr(module, "__all__", None)

    def is_own(name, any):
        # A partial does not say where it was made.
        here = getattr(any, "__module__", None) == module.__name__ or isinstance(any, partial)
        return name in public if public is not None else here and not name.startswith("_")

    functions = {name: any for name, any in vars(module).items() if callable(any) and not inspect.isclass(any)}
    return {name: any for name, any in functions.items() if is_own(name, any)}


def named(module, name, functions):
    """What has this name in the file, which is used, whatever it is, or refused."""
    if not hasattr(module, name):
        refuse(f"{FILE} has no function {name}", functions)
    function = getattr(module, name)
    if not callable(function):
        refuse(f"{FILE}: {name} is {a_kind(function)}, no function", functions)
    return function


def choose(module, functions, init):
    """What is named is used, or refused; a guess is only for a file that names nothing."""
    if SPEC["function"]:
        return named(module, SPEC["function"], functions)
    if hasattr(module, "handler") and (init is None or module.handler is not init):
        return named(module, "handler", functions)
    if len(functions) != 1:
        refuse(f"{FILE} has several functions" if functions else f"{FILE} has no function of its own", functions)
    return next(iter(functions.values()))


def routed(functions):
    """With --route, the job's own choice among the file's functions."""

    def function(data, id, attempt):
        name = data.get(ROUTE) if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in functions:
            refuse(f"no function to route {json.dumps(name)} to", list(functions))
        return functions[name](data, id, attempt)

    return function


def find(module):
    """The function to call for each job, whether it is asynchronous, and that of --init."""
    functions = own_functions(module)
    init = named(module, INIT, functions) if INIT else None
    functions = {name: any for name, any in functions.items() if any is not init}
    if not ROUTE:
        handler = choose(module, functions, init)
        return with_context(handler), is_asynchronous(handler), init
    if not functions:
        refuse(f"{FILE} has no function of its own", functions)
    function = routed({name: with_context(function) for name, function in functions.items()})
    return function, any(map(is_asynchronous, functions.values())), init


def initialize(init):
    """Calls the function of --init. Returns the event loop that it was awaited in, if it was."""
    send(f'{{"status":"init","data":{encode(INIT)}}}\n')
    loop = None
    try:
        result = init()
        if inspect.isawaitable(result):
            loop = new_event_loop()
            loop.run_until_complete(result)
    except BaseException as error:
        fatal(error, "unstarted")
    if is_child:
        leave_child()
    return loop


def with_context(function):
    """The function as one of (data, id, attempt), whatever it takes itself."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if len(parameters) > 1:
        second = parameters[1]
        if second.kind in (second.POSITIONAL_ONLY, second.POSITIONAL_OR_KEYWORD):
            if second.default is second.empty or second.name == "context":
                if BATCH:
                    return lambda data, ids, attempts: function(data, list(map(Context, ids, attempts)))
                return lambda data, id, attempt: function(data, Context(id, attempt))
    return lambda data, id, attempt: function(data)


def is_asynchronous(function):
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))


# --- jobs


def parse(line):
    """Id, attempt and data, or None after an error reply: Python refuses some JSON, such as very deep nesting."""
    try:
        job = decode(line.decode(), 0)[0]
        return job["id"], job.get("attempt", 1), job["data"]
    except (ValueError, RecursionError) as error:
        send_error(number(line), error)


def number(line):
    return re.match(rb'{"id":(\d+)', line)[1].decode()


def reply(id, result):
    if is_child:
        leave_child()
    try:
        send(f'{{"id":{id},"status":"ok","data":{encode(result)}}}\n')
    except RecursionError:
        raise ValueError("the result is circular, or too deep for JSON") from None


def new_event_loop():
    import asyncio  # here, since it takes longer than all the rest, and most handlers do without it

    return asyncio.new_event_loop()


def serve(function, loop):
    """One job after the other, in this thread."""
    for line in open(3, "rb", buffering=1 << 16):
        job = parse(line)
        if job is None:
            continue
        id, attempt, data = job
        try:
            result = function(data, id, attempt)
            if inspect.isawaitable(result):
                loop = loop or new_event_loop()
                result = loop.run_until_complete(result)
            reply(id, result)
        except BaseException as error:
            send_error(id, error)


def serve_batches(function, loop):
    """The jobs of the lines up to an empty one are one call."""
    lines = []
    for line in open(3, "rb", buffering=1 << 16):
        if line != b"\n":
            lines.append(line)
            continue
        error = None
        try:
            jobs = decode(f"[{b','.join(lines).decode()}]", 0)[0]
            ids = [job["id"] for job in jobs]
            results = function([job["data"] for job in jobs], ids, [job.get("attempt", 1) for job in jobs])
            if inspect.isawaitable(results):
                loop = loop or new_event_loop()
                results = loop.run_until_complete(results)
            answers = "".join(map(answer, ids, as_list(results, len(ids))))
        except BaseException as raised:
            error = raised
            answers = failed_batch(lines, error)
        if is_child:
            leave_child(error)
        send(answers)
        lines = []


def as_list(results, jobs):
    """What a call has returned for so many jobs. Arrays and columns are lists, too."""
    out = results
    if not isinstance(out, (list, tuple)):
        try:
            # A column is one result for each job, whatever its labels are.
            out = out.tolist() if hasattr(type(out), "tolist") else form(out)
        except NoForm:
            pass
    if not isinstance(out, (list, tuple)):
        raise TypeError(f"the handler returned {a_kind(results)} for a list of {jobs}")
    if len(out) != jobs:
        raise TypeError(f"the handler returned a list of {len(out)} for a list of {jobs}")
    return out


def answer(id, result):
    """The reply to one job of a batch. An exception among the results is the error of its job."""
    if not isinstance(result, BaseException):
        try:
            return f'{{"id":{id},"status":"ok","data":{encode(result)}}}\n'
        except RecursionError:
            result = ValueError("the result is circular, or too deep for JSON")
        except BaseException as error:
            result = error
    return f'{{"id":{id},"status":"error","error":{error_json(result)}}}\n'


def failed_batch(lines, error):
    """Asks for each job of the batch by itself, or answers the only one."""
    if len(lines) == 1:
        return answer(number(lines[0]), error)
    return "".join(f'{{"id":{number(line)},"status":"again"}}\n' for line in lines)


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
            result = function(data, id, attempt)
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


def settle():
    for descriptor in (3, OUT):
        os.set_inheritable(descriptor, False)
    # forkpool says when to end. (Children of the handler do not inherit this.)
    signal.signal(signal.SIGINT, lambda *_: None)
    # A log must not fail for a letter that the locale does not have.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")


def find_loaded():
    """Loads the file. Returns the function to call for each job, whether it is asynchronous, and that of --init."""
    send('{"status":"loading","data":"the file of the handler"}\n')
    try:
        return find(load())
    except BaseException as error:
        fatal(error)


def work(function, asynchronous, init):
    """Does jobs until there are no more."""
    loop = initialize(init) if init is not None and SPEC["calls_init"] else None
    send('{"status":"ready"}\n')
    if asynchronous:
        send('{"status":"async"}\n')
    if BATCH:
        serve_batches(function, loop)
    elif asynchronous or CONCURRENCY > 1:
        loop = loop or new_event_loop()
        loop.run_until_complete(serve_tasks(function, loop))
    else:
        serve(function, loop)
    end()


def end():
    """As Python ends, except that nobody waits for threads and children that do not end by themselves."""
    # Executors are told here, and not by atexit, that there is nothing more to do.
    calls = getattr(threading, "_threading_atexits", [])
    if calls:
        teller = threading.Thread(target=lambda: [call() for call in reversed(calls)], daemon=True)
        teller.start()
        teller.join(PATIENCE)
    children = sys.modules.get("multiprocessing.process")
    for child in children.active_children() if children else ():
        if not child.daemon:  # the others are ended by atexit
            child.terminate()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


def main():
    settle()
    work(*find_loaded())


main()
