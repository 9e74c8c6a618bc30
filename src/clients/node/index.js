// Hands jobs to warm worker processes from inside a program: a small client of the command forkpool.
//
//   for await (const record of run('pet.js', jobs, { workers: 8, timeout: 5 })) …
//
//   const pool = new Pool('pet.js', { workers: 8 });
//   const result = await pool.run(job);
//   await pool.close();
//
// Every option of the command is a key: `startTimeout: 5` is --start-timeout=5, true is a flag without a value, an
// array repeats the flag, false and undefined leave it out. Handlers in JavaScript run under the Node of the program.
// With `quiet: false` the logs of workers and the summary are shown. Order, retries, limits and the life of workers are
// the command's; there is nothing of that here.
import { Command, encode, feed, JobError, parse, PoolError, result } from './command.js';

export { JobError, PoolError };

/**
 * Runs all jobs, and gives a record for each, in their order. Jobs are taken only as far ahead as the pipes and the
 * window reach. With `records: false` it gives the results, and the first job that has failed throws its JobError.
 */
export async function* run(handler, jobs, { records = true, signal, ...flags } = {}) {
  signal?.throwIfAborted();
  const command = new Command(handler, flags);
  const abort = () => command.kill();
  signal?.addEventListener('abort', abort);
  let failure;
  feed(command, jobs).catch((error) => (failure = { error }));
  try {
    let rest = [];
    for await (const piece of command.stdout) {
      let batch;
      [batch, rest] = parse(rest, piece);
      for (const record of batch) yield records ? record : result(record);
    }
    if (failure) throw failure.error; // The jobs before it have had their records.
    await command.end();
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener('abort', abort);
    await command.kill();
  }
}

/** Workers that wait for jobs. An open pool keeps the program running only while a job is open. */
export class Pool {
  #command;
  #open = new Map();
  #count = 0;
  #unsent = '';
  #records;
  #isClosed = false;
  #ended = new PoolError('the pool has ended'); // Or why it has failed.

  constructor(handler, { records = false, signal, ...flags } = {}) {
    signal?.throwIfAborted();
    this.#records = records;
    this.#command = new Command(handler, { unordered: true, ...flags });
    signal?.addEventListener('abort', () => this.kill(), { once: true });
    let rest = [];
    this.#command.stdout.on('data', (piece) => {
      let batch;
      [batch, rest] = parse(rest, piece);
      for (const record of batch) this.#settle(record);
    });
    this.#command.ended.then(({ status, words }) => {
      this.#isClosed = true;
      if (words) this.#ended = new PoolError(words, status);
      const error = () => signal?.reason ?? new PoolError(words ?? 'forkpool has ended before it had the job', status);
      for (const { reject } of this.#open.values()) reject(error());
    });
    this.#command.keepAlive(false);
  }

  /** Resolves to the result of a job, or rejects with its JobError. After an abort its answer is not waited for. */
  async run(job, { signal } = {}) {
    signal?.throwIfAborted();
    const line = encode(job);
    if (this.#isClosed) throw this.#ended;
    if (this.#unsent === '') queueMicrotask(() => this.#send()); // Jobs of one moment go together.
    this.#unsent += line;
    if (this.#open.size === 0) this.#command.keepAlive(true);
    const number = ++this.#count; // That forkpool gives this job.
    const answer = new Promise((resolve, reject) => this.#open.set(number, { resolve, reject }));
    if (!signal) return answer;
    const abort = () => this.#open.get(number).reject(signal.reason);
    signal.addEventListener('abort', abort);
    return answer.finally(() => signal.removeEventListener('abort', abort));
  }

  /** Replaces the workers, one after the other and each after its job: an edited handler is taken over. */
  async reload() {
    await this.#command.reload();
  }

  /** Waits until all jobs are answered, and ends the workers. Rejects if the pool has failed. */
  async close() {
    this.#send();
    this.#isClosed = true;
    this.#command.keepAlive(true);
    this.#command.stdin.end();
    await this.#command.end();
  }

  /** Ends the workers at once. A job that has no answer yet is rejected. */
  async kill() {
    this.#isClosed = true;
    this.#command.keepAlive(true);
    await this.#command.kill();
  }

  #send() {
    if (this.#unsent !== '') this.#command.stdin.write(this.#unsent);
    this.#unsent = '';
  }

  #settle(record) {
    const { resolve, reject } = this.#open.get(record.job);
    this.#open.delete(record.job);
    if (this.#records || record.status === 'ok') resolve(this.#records ? record : record.data);
    else reject(new JobError(record));
    if (this.#open.size === 0 && !this.#isClosed) this.#command.keepAlive(false);
  }
}
