// Keeps a pool of forkpool open and asks it whenever there is something to ask.
//
// Names come on stdin, one a line; answers go to stdout as they come. At the end of stdin, or at SIGTERM, what has been
// asked is answered, and the pool ends. At SIGHUP the workers are replaced one at a time: an edited handler is taken
// over.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Jobs go to forkpool's stdin and records come from its stdout; the job's `id` says which belong together. */
class Pool {
  open = new Map();
  last = 0;

  constructor(...options) {
    const args = ["--unordered", "--id", "id", ...options];
    // In a session of its own forkpool gets no Ctrl-C of this program's terminal, which is for this program to obey.
    this.process = spawn("forkpool", args, { stdio: ["pipe", "pipe", "inherit"], detached: true });
    this.process.stdin.on("error", () => {}); // The end of forkpool is told by `ended`.
    this.ended = once(this.process, "close").finally(() => {
      for (const { reject } of this.open.values()) reject(new Error("forkpool has ended"));
    });
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      const record = JSON.parse(line);
      this.open.get(record.id).resolve(record);
      this.open.delete(record.id);
    });
  }

  /** Whether so many jobs are on their way that whoever asks should wait for `drained` first. */
  get isFull() {
    return this.process.stdin.writableNeedDrain;
  }

  /** Resolves when more jobs may be asked for; rejects when forkpool has ended. */
  drained() {
    return Promise.race([
      once(this.process.stdin, "drain"),
      this.ended.then(() => Promise.reject(new Error("forkpool has ended"))),
    ]);
  }

  /** Resolves to the record of a job. */
  ask(job) {
    const id = ++this.last;
    this.process.stdin.write(JSON.stringify({ id, ...job }) + "\n");
    return new Promise((resolve, reject) => this.open.set(id, { resolve, reject }));
  }

  /** Lets all that was asked be answered, and ends the workers. Resolves to forkpool's exit status. */
  async close() {
    this.process.stdin.end();
    const [status] = await this.ended;
    return status;
  }
}

const [handler, ...options] = process.argv.slice(2);
const pool = new Pool("--handler", handler, ...options);
const names = createInterface({ input: process.stdin });
process.on("SIGTERM", () => names.close());
process.on("SIGHUP", () => pool.process.kill("SIGUSR2"));
const show = (record) => console.log(JSON.stringify(record.data ?? record.error.message));
for await (const name of names) {
  if (pool.isFull) await pool.drained();
  pool.ask({ name }).then(show, (error) => console.error(error.message));
}
process.exitCode = await pool.close();
process.stdin.destroy();
