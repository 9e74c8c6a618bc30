# The template that workers are forked from (--preload). This stands behind the code of the worker, in the place of its
# last line.
#
# Requests come in on descriptor 3, a socket: the number of a slot with the worker's stdin, stdout and stderr beside it.
# The answer is the worker's process id, or the negative number of an error. The worker is forked twice. The process
# between ends at once, so that forkpool, which is the parent of all orphans here, becomes the worker's parent. The worker
# begins when the template has seen that and has answered; if the template dies before, the worker ends.
import ctypes
import gc
import socket
import struct

PARENT_DEATH_SIGNAL = 1  # of prctl
POOL = SPEC["pool"]  # the process of forkpool
NUMBER = struct.Struct("<i")
SELDOM = 100_003  # objects that are made between two rounds of the collector, while the file is loaded
libc = ctypes.CDLL(None, use_errno=True)


def refuse_threads():
    """A fork copies only the thread that calls it: what others were doing would never be done in a worker."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if not names:
        # Libraries such as OpenBLAS end their threads at a fork and start them again when they need them, so those
        # count that are still there after one.
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        names = other_tasks()
    if names:
        raise RuntimeError(
            f"--preload cannot fork a process that has threads, and the file has started: {', '.join(names)}. "
            "Threads, and what has some of its own, are for the function of --init"
        )


def other_tasks():
    """The names of the system's threads of this process but the first."""
    names = []
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            try:
                with open(f"/proc/self/task/{task}/comm") as name:
                    names.append(f"{name.read().strip()} (thread {task} of a library)")
            except OSError:
                pass  # it has ended
    return names


def fork_worker(requests, slot, descriptors):
    """Returns the worker's process id, and what to write to for it to begin; None in the worker itself."""
    known, told = os.pipe()
    begins, begin = os.pipe()
    try:
        between = os.fork()
    except OSError:
        for descriptor in (known, told, begins, begin):
            os.close(descriptor)
        raise
    if between == 0:
        worker = fork_again(told)
        if worker:
            os._exit(0)
        os.close(known)
        os.close(begin)
        requests.detach()  # its number is that of the jobs now
        become_worker(slot, descriptors, begins)
        return None
    os.close(told)
    os.close(begins)
    answer = os.read(known, NUMBER.size)
    os.close(known)
    os.waitpid(between, 0)
    number = NUMBER.unpack(answer)[0] if len(answer) == NUMBER.size else -errno.EAGAIN
    return number, begin


def fork_again(told):
    """In the process between: forks the worker and tells its id, or the error's negative number. 0 in the worker."""
    try:
        worker = os.fork()
        if worker:
            os.setpgid(worker, worker)  # before anybody knows of it
    except OSError as error:
        worker = -error.errno
    if worker:
        os.write(told, NUMBER.pack(worker))
    os.close(told)
    return worker


def become_worker(slot, descriptors, begins):
    """Waits until forkpool is the parent, and takes over all that a worker of its own process would have."""
    global is_child
    begun = os.read(begins, 1)
    os.close(begins)
    if not begun:
        os._exit(1)  # nobody knows of this process
    # Of an orphan's parent that is a thread that lives as long as forkpool.
    libc.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != POOL:
        sys.stderr.write(f"the parent of this worker is {os.getppid()} and not forkpool, {POOL}\n")
        os._exit(1)
    for descriptor, target in zip(descriptors, (3, OUT, 2)):
        os.dup2(descriptor, target, target == 2)
        os.close(descriptor)
    os.dup2(2, 1)
    os.environ["FORKPOOL_SLOT"] = str(slot)
    is_child = False
    processes = sys.modules.get("multiprocessing.process")
    if processes:
        processes._children = set()  # those of the template are its own, and not to be ended with this worker
    seed_anew()


def seed_anew():
    """The module random has a seed of its own in each process that is forked; numpy's has not."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random:
        numpy_random.seed()


def answer_requests(requests):
    """Forks a worker for each request. Returns in the workers."""
    while True:
        message, beside, _, _ = requests.recvmsg(NUMBER.size, socket.CMSG_SPACE(3 * NUMBER.size))
        if not message:
            os._exit(0)  # no more workers are needed
        descriptors = struct.unpack(f"{len(beside[0][2]) // NUMBER.size}i", beside[0][2])
        begin = None
        try:
            forked = fork_worker(requests, NUMBER.unpack(message)[0], descriptors)
            if forked is None:
                return
            number, begin = forked
        except OSError as error:
            number = -error.errno
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            requests.send(NUMBER.pack(number))
            if begin is not None and number > 0:
                os.write(begin, b"!")
        except OSError:
            pass  # forkpool is gone, or the worker
        if begin is not None:
            os.close(begin)


def main():
    settle()
    # Imports make many objects that stay, and the collector would look at them again and again.
    usual = gc.get_threshold()
    gc.set_threshold(SELDOM, *usual[1:])
    found = find_loaded()
    if gc.get_threshold()[0] == SELDOM:  # the file has set no other
        gc.set_threshold(*usual)
    if is_child:
        leave_child()  # a child that the file has forked has come back
    try:
        refuse_threads()
    except BaseException as error:
        fatal(error)
    # What is in a buffer would be written by each worker.
    sys.stdout.flush()
    sys.stderr.flush()
    # The collector writes into each object that it looks at, and so copies its page, unless the object is frozen.
    gc.collect()
    if hasattr(gc, "freeze"):  # CPython
        gc.freeze()
    send('{"status":"ready"}\n')
    with socket.socket(fileno=3) as requests:
        answer_requests(requests)
    work(*found)


main()
