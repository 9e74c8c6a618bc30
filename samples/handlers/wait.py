# An async handler, many jobs at once in one worker; it only sleeps, 20 ms a letter:
# forkpool -j 1 --concurrency 12 --handler samples/handlers/wait.py -i samples/kittens.ndjson
import asyncio


async def nap(kitten):
    ms = 20 * len(kitten["name"])
    await asyncio.sleep(ms / 1000)
    return {"name": kitten["name"], "slept": ms}
