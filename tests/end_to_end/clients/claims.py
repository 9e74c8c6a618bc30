"""What is claimed of the client for Python: claims.py CLAIM, in an empty folder. It fails where one is not true."""
import asyncio
import sys
import threading
import time
from pathlib import Path

import forkpool

Path("pet.py").write_text("""
class KittenBites(Exception):
    code = "E_TEETH"
def pet(kitten):
    if kitten == "Felix":
        raise KittenBites("Felix bites") from ValueError("hungry")
    return kitten
""")
Path("hang.py").write_text("""
import pathlib, time
def hang(file):
    pathlib.Path(file).touch()
    time.sleep(1000)
""")


def each_job_ends_in_a_record_in_the_order_of_the_jobs():
    records = list(forkpool.run("pet.py", iter(["Tom", "Felix", "Mia"]), workers=2, id=None, verbose=False))
    assert [record["job"] for record in records] == [1, 2, 3]
    assert [record.get("data") for record in records] == ["Tom", None, "Mia"]
    assert records[1]["error"]["code"] == "E_TEETH"
    assert list(forkpool.run(["cat"], ["Tom"], protocol="lines", records=False)) == ["Tom"]


def a_failure_is_an_exception_with_all_that_the_handler_threw():
    with forkpool.Pool("pet.py", workers=1) as pool:
        check_failure(pool.submit("Felix").exception())
        assert pool.submit("Tom").result() == "Tom"
    with forkpool.Pool("pet.py", workers=1, records=True) as pool:
        assert pool.submit("Felix").result()["status"] == "error"
    seen = []
    try:
        seen.extend(forkpool.run("pet.py", ["Tom", "Felix", "Mia"], records=False, workers=1))
    except forkpool.JobError as error:
        check_failure(error)
    else:
        raise AssertionError("it is not thrown")


def check_failure(error):
    assert (error.name, error.message, error.code) == ("KittenBites", "Felix bites", "E_TEETH")
    assert "pet.py" in error.stack and error.status == "error" and str(error) == "KittenBites: Felix bites"
    assert (error.__cause__.name, error.__cause__.message) == ("ValueError", "hungry")


def jobs_are_taken_only_as_far_ahead_as_there_is_room():
    taken = 0

    def jobs():
        nonlocal taken
        while True:
            taken += 1
            yield "x" * 1000

    records = iter(forkpool.run("pet.py", jobs(), workers=1, window=10))
    assert next(records)["job"] == 1
    before = -1
    while before != taken:  # It comes to rest, since nobody takes the records.
        before = taken
        time.sleep(0.2)
    assert taken < 5000, taken


def a_job_is_answered_before_the_next_one_is_there():
    answered = threading.Event()

    def jobs():
        yield "Tom"
        yield "Mia"
        assert answered.wait(60)
        yield "Max"

    for record in forkpool.run("pet.py", jobs(), workers=1):
        if record["job"] == 2:
            answered.set()
    assert record["job"] == 3


def an_error_of_the_jobs_is_raised_after_the_records_before_it():
    def jobs():
        yield "Tom"
        yield float("nan")  # no value of JSON

    seen = []
    try:
        for record in forkpool.run("pet.py", jobs(), workers=1):
            seen.append(record["status"])
    except ValueError:
        assert seen == ["ok"]
    else:
        raise AssertionError("it is not raised")


def an_option_that_is_none_is_refused_with_the_words_of_the_command():
    for use in (lambda: list(forkpool.run("pet.py", [1], wrokers=1)), lambda: ask_once("pet.py", wrokers=1)):
        try:
            use()
        except forkpool.PoolError as error:
            assert error.status == 2 and "--workers" in str(error), error
        else:
            raise AssertionError("it is not refused")


def a_pool_whose_workers_cannot_load_rejects_its_jobs():
    Path("broken.py").write_text("import nothing_of_that_name\n")
    try:
        ask_once("broken.py", workers=1, start_timeout="30s")
    except forkpool.PoolError as error:
        assert error.status == 3 and "nothing_of_that_name" in str(error), error
    else:
        raise AssertionError("it is not told")


def ask_once(handler, **options):
    with forkpool.Pool(handler, **options) as pool:
        return pool.submit("Tom").result()


def ten_thousand_jobs_are_in_flight_and_each_gets_its_own_answer():
    with forkpool.Pool("pet.py", workers=2) as pool:
        futures = [pool.submit(number) for number in range(10_000)]
        # A callback may submit, although nobody reads answers while it runs.
        more = []
        futures[0].add_done_callback(lambda _: more.extend(pool.submit("x" * 1000) for _ in range(500)))
        assert [future.result() for future in futures] == list(range(10_000))
        futures[0].result()
        assert pool.submit("last").result() == "last"
        assert len(more) == 500 and all(len(future.result()) == 1000 for future in more)


def a_reload_takes_over_an_edited_handler_and_loses_no_job():
    with forkpool.Pool("pet.py", workers=2) as pool:
        pool.reload()  # Too early to matter, and no end of the pool.
        assert pool.submit("Tom").result() == "Tom"
        futures = [pool.submit("Mia") for _ in range(500)]
        Path("pet.py").write_text("def pet(kitten): return 'edited'\n")
        pool.reload()
        assert {future.result() for future in futures} <= {"Mia", "edited"}
        end = time.monotonic() + 60
        while pool.submit("Tom").result() != "edited":
            assert time.monotonic() < end


def the_same_goes_for_coroutines():
    async def names():
        for name in ("Tom", "Felix", "Mia"):
            yield name

    async def main():
        records = [record async for record in forkpool.run("pet.py", names(), workers=2)]
        assert [record["status"] for record in records] == ["ok", "error", "ok"]
        async with forkpool.Pool("pet.py", workers=2) as pool:
            assert await asyncio.gather(*map(pool.run, range(100))) == list(range(100))
            try:
                await pool.run("Felix")
            except forkpool.JobError as error:
                check_failure(error)
        async for record in forkpool.run("pet.py", iter(int, 1), workers=1):
            break

    asyncio.run(main())


def leaving_early_ends_what_runs():
    for record in forkpool.run("hang.py:hang", iter(lambda: "begun", None), workers=1, timeout=0.5, window=1):
        break
    try:
        with forkpool.Pool("hang.py:hang", workers=1) as pool:
            future = pool.submit("in-hand")
            wait_until_there("in-hand")
            raise KeyError
    except KeyError:
        assert isinstance(future.exception(60), forkpool.PoolError)


def hang():
    """Leaves nothing either when it is ended from outside."""
    list(forkpool.run("hang.py:hang", ["hanging"], workers=1))


def hang_with_a_pool():
    with forkpool.Pool("hang.py:hang", workers=1) as pool:
        pool.submit("hanging").result()


def wait_until_there(file):
    while not Path(file).exists():
        time.sleep(0.005)


globals()[sys.argv[1]]()
