#!/usr/bin/env python3
"""Keeps a pool of forkpool open and asks it whenever there is something to ask.

Names come on stdin, one a line; answers go to stdout as they come. At the end of stdin, or at SIGTERM, what has been
asked is answered, and the pool ends. At SIGHUP the workers are replaced one at a time: an edited handler is taken over.
"""
import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE


class Pool:
    """Jobs go to forkpool's stdin and records come from its stdout; the job's `id` says which belong together."""

    @classmethod
    async def start(cls, *options, most=100):
        """Has at most `most` jobs open: whoever asks for more waits."""
        pool = cls()
        pool.open, pool.last, pool.room = {}, 0, asyncio.Semaphore(most)
        command = ["forkpool", "--unordered", "--id", "id", *options]
        # In a session of its own forkpool gets no Ctrl-C of this program's terminal, which is for this program to obey.
        pool.process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, limit=1 << 26, start_new_session=True
        )
        pool.reader = asyncio.create_task(pool.read())
        return pool

    async def ask(self, job):
        """Hands a job over. Returns a future of its record."""
        await self.room.acquire()
        if self.reader.done():
            raise ConnectionError("forkpool has ended")
        self.last += 1
        record = self.open[self.last] = asyncio.get_running_loop().create_future()
        self.process.stdin.write(json.dumps({"id": self.last, **job}).encode() + b"\n")
        await self.process.stdin.drain()
        return record

    async def read(self):
        async for line in self.process.stdout:
            record = json.loads(line)
            self.open.pop(record["id"]).set_result(record)
            self.room.release()
        for record in self.open.values():
            record.set_exception(ConnectionError("forkpool has ended"))
        self.room.release()

    async def close(self):
        """Lets all that was asked be answered, and ends the workers. Returns forkpool's exit status."""
        self.process.stdin.close()
        await self.reader
        return await self.process.wait()


def show(record):
    record = record.result()
    print(json.dumps(record["data"] if record["status"] == "ok" else record["error"]["message"]), flush=True)


async def main(handler, *options):
    pool = await Pool.start("--handler", handler, *options)
    loop = asyncio.get_running_loop()
    names = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(names), sys.stdin)
    loop.add_signal_handler(signal.SIGTERM, names.feed_eof)
    loop.add_signal_handler(signal.SIGHUP, pool.process.send_signal, signal.SIGUSR2)
    async for name in names:
        (await pool.ask({"name": name.decode().strip()})).add_done_callback(show)
    return await pool.close()


sys.exit(asyncio.run(main(*sys.argv[1:])))
