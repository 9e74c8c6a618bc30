// The command forkpool as a child process: how it is found, started, fed, read and ended.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

// Bytes that are written at a time: what a pipe of Linux holds.
const PIECE = 1 << 16;
// Milliseconds that jobs are gathered while the program is busy, without a look at what else there is to do.
const MOMENT = 2;

/** A job has failed: what its handler threw, and the whole `record`. */
export class JobError extends Error {
  constructor(record) {
    const { name, message, stack, code, cause } = record.error;
    super(message, cause === undefined ? undefined : { cause: asError(cause) });
    Object.assign(this, { name, status: record.status, record });
    if (stack !== undefined) this.stack = stack;
    if (code !== undefined) this.code = code;
  }
}

/** The pool itself has failed. `status` is the exit status of forkpool, or the name of the signal that ended it. */
export class PoolError extends Error {
  name = 'PoolError';
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** forkpool as a child. */
export class Command {
  #child;
  #started = Date.now();
  #said = '';

  constructor(handler, flags) {
    // In a session of its own it gets no Ctrl-C of the terminal, which is for this program to obey.
    this.#child = spawn(find(), words(handler, flags), { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    ({ stdin: this.stdin, stdout: this.stdout } = this.#child);
    this.stdin.on('error', () => {}); // forkpool has ended, which `ended` tells.
    this.#child.stderr.on('data', (piece) => {
      this.#said = (this.#said + piece).slice(-4096);
      if (flags.quiet === false) process.stderr.write(piece);
    });
    this.ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve({ words: hint(error) }));
      this.#child.on('close', (code, signal) => {
        const status = code ?? signal;
        const words = this.#said.trim() || `forkpool has ended with ${status}`;
        resolve(status === 0 || status === 1 ? { status } : { status, words });
      });
    });
  }

  /** Whether the program is to go on for this child. */
  keepAlive(yes) {
    const handles = [this.#child, this.stdin, this.stdout, this.#child.stderr];
    for (const handle of handles) yes ? handle.ref() : handle.unref();
  }

  async end() {
    const { status, words } = await this.ended;
    if (words) throw new PoolError(words, status);
  }

  async reload() {
    // A signal that comes before forkpool has its handlers would end it. They are there in milliseconds.
    const early = this.#started + 1000 - Date.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    this.#child.kill('SIGUSR2');
  }

  async kill() {
    this.stdout.destroy();
    // The second signal ends forkpool at once. One of them may be ignored, as SIGINT is in the background of a script.
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Writes the jobs of an iterable, and takes no more where forkpool takes no more. */
export async function feed(command, jobs) {
  const { stdin } = command;
  let text = '';
  let wake;
  let isFlushDue = false;
  let since = performance.now();
  stdin.on('drain', () => wake?.()).on('close', () => wake?.());
  const flush = () => {
    isFlushDue = false;
    const hasRoom = text === '' || stdin.write(text);
    text = '';
    return hasRoom;
  };
  try {
    for await (const job of jobs) {
      if (stdin.destroyed) return;
      text += encode(job);
      // The flush comes when the iterable waits: a job that is alone goes at once, and many go together.
      if (!isFlushDue) setImmediate(flush);
      isFlushDue = true;
      if (text.length < PIECE && performance.now() - since < MOMENT) continue;
      if (flush()) await nextTurn();
      else if (!stdin.destroyed) await new Promise((resolve) => (wake = resolve));
      since = performance.now();
    }
  } finally {
    flush();
    stdin.end();
  }
}

/** The records that end in `piece`, and the bytes that are left. `rest` is what the call before left. */
export function parse(rest, piece) {
  const end = piece.lastIndexOf(10);
  if (end < 0) return [[], [...rest, piece]];
  const lines = Buffer.concat([...rest, piece.subarray(0, end)]).toString();
  // One call for all of them is faster. A line break inside of a record is escaped.
  return [JSON.parse(`[${lines.replaceAll('\n', ',')}]`), [piece.subarray(end + 1)]];
}

export function encode(job) {
  const text = JSON.stringify(job);
  if (text === undefined) throw new TypeError(`a job must be a value of JSON, not ${typeof job}`);
  return text + '\n';
}

export function result(record) {
  if (record.status === 'ok') return record.data;
  throw new JobError(record);
}

function asError(thrown) {
  const isError = typeof thrown?.message === 'string';
  return isError ? new JobError({ error: thrown }) : thrown;
}

function words(handler, flags) {
  const all = ['--to=ndjson'];
  for (const [key, value] of Object.entries({ quiet: true, ...flags })) {
    const flag = '--' + key.replace(/[A-Z]/g, (letter) => '-' + letter.toLowerCase());
    for (const one of [value].flat()) {
      if (one !== undefined && one !== null && one !== false) all.push(one === true ? flag : `${flag}=${one}`);
    }
  }
  if (Array.isArray(handler)) return [...all, '--', ...handler];
  const file = handler instanceof URL ? fileURLToPath(handler) : handler;
  const isForNode = /\.([cm]?js|ts)(:\w+)?$/.test(file) && !process.versions.bun && !process.versions.deno;
  if (isForNode && !('runtime' in flags || 'host' in flags || 'hosts' in flags)) {
    all.push(`--runtime='${process.execPath.replaceAll("'", "'\\''")}'`);
  }
  return [...all, `--handler=${file}`];
}

function find() {
  const beside = fileURLToPath(new URL('bin/forkpool', import.meta.url));
  try {
    accessSync(beside, constants.X_OK);
  } catch {
    return process.env.FORKPOOL || 'forkpool';
  }
  return process.env.FORKPOOL || beside;
}

function hint(error) {
  if (error.code !== 'ENOENT') return error.message;
  return `${error.path} is not there\nhint: put forkpool on the PATH, or its path into the variable FORKPOOL`;
}
