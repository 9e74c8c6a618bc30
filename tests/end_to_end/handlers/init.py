# Functions for --init, and a handler that shows what they have done.
import asyncio
import os
import time

calls, slot, loop, ticks = 0, None, None, 0


async def connect():
    global calls, slot, loop
    await asyncio.sleep(0)
    calls, slot, loop = calls + 1, os.environ["FORKPOOL_SLOT"], asyncio.get_running_loop()
    connect.background = loop.create_task(tick())


async def tick():
    global ticks
    await asyncio.sleep(0)
    ticks += 1


def refuse():
    raise ConnectionError("no database")


def refuse_once():
    try:
        open("refused", "x").close()
    except FileExistsError:
        return
    refuse()


def leave():
    raise SystemExit(3)


def hang():
    time.sleep(3600)


async def handler(job):
    await asyncio.sleep(0)
    same = loop is None or (loop is asyncio.get_running_loop() and ticks == 1)
    return {"calls": calls, "slot": slot} if same else "another loop"
