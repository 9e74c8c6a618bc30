// The worker around a JavaScript or TypeScript handler, for node, bun and deno.
//
// Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. A job
// is answered before the next one starts; with a concurrency above 1 all jobs that are here run at once.
//
// The handler is given a second argument (progress, attempt, job). Whatever it throws, or rejects with, is the error of
// its job; process.exit ends the worker. Numbers are JavaScript's: integers beyond 2^53 lose digits.
import { AsyncLocalStorage } from 'node:async_hooks';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { pathToFileURL } from 'node:url';

const { file, function: named, route, concurrency } = JSON.parse(process.argv.at(-1));
process.argv.splice(1, Infinity, file);

// deno knows no descriptors but its own.
const OUT = globalThis.Deno ? fs.openSync('/dev/fd/4', 'w') : 4;

/** This program's own name in a stack. */
const HERE = /([^\s(]+):\d+:\d+\)?$/m.exec(new Error('here').stack)?.[1];

// --- errors, in the form of the npm package serialize-error

const DEPTH = 20; // levels of nested causes and values
const TEXT = 100_000; // characters of one text
const TOTAL = 1_000_000; // characters of the whole error

/** Any thrown value as JSON. Never fails. */
function errorJson(thrown) {
  if (typeof thrown === 'function') return '"<Function>"';
  if (typeof thrown === 'symbol') return JSON.stringify(String(thrown));
  return JSON.stringify(serializer()(thrown) ?? null);
}

function serializer() {
  const path = []; // the objects around the present one: to meet one of them again is a cycle
  let left = TOTAL;

  function text(string) {
    const most = Math.max(0, Math.min(TEXT, left));
    left -= Math.min(string.length, most);
    const cut = string.length > most ? `${string.slice(0, most)}…` : string;
    return cut.toWellFormed?.() ?? cut;
  }

  function value(any) {
    left -= 8; // numbers and brackets count as well
    if (typeof any === 'string') return text(any);
    if (typeof any === 'bigint') return text(`${any}n`);
    if (typeof any === 'function' || typeof any === 'symbol') return undefined;
    if (typeof any !== 'object' || any === null) return any;
    if (path.includes(any)) return '[Circular]';
    if (path.length >= DEPTH) return '[Too deep]';
    path.push(any);
    try {
      return members(any);
    } catch {
      return '[Throws]';
    } finally {
      path.pop();
    }
  }

  function members(object) {
    if (ArrayBuffer.isView(object)) return `[object ${object.constructor.name}]`;
    const isError = object instanceof Error || Object.prototype.toString.call(object) === '[object Error]';
    try {
      if (typeof object.pipe === 'function') return '[object Stream]';
      if (typeof object.toJSON === 'function') return value(object.toJSON());
    } catch (error) {
      if (!isError) throw error;
    }
    if (Array.isArray(object)) {
      const out = [];
      for (let i = 0; i < object.length && left > 0; i++) out.push(value(object[i]) ?? null);
      return out;
    }
    const out = Object.create(null);
    if (isError) {
      // A name and a message are always there, and text.
      out.name = String(field(object, 'name') ?? 'Error');
      out.message = String(field(object, 'message') ?? '');
      out.stack = stack(object);
      for (const key of ['code', 'cause', 'errors']) out[key] = field(object, key) ?? undefined;
    }
    for (const key of Object.keys(object)) {
      if (left <= 0) break;
      if (!(key in out)) out[text(key)] = field(object, key);
    }
    return out;
  }

  function field(object, key) {
    let any;
    try {
      any = object[key];
    } catch {
      return '[Throws]';
    }
    return value(any);
  }

  /** Without the lines of this program, and of the machinery that called it. */
  function stack(error) {
    const whole = field(error, 'stack');
    if (typeof whole !== 'string') return whole;
    const lines = whole.split('\n');
    let ours = lines.findIndex((line) => line.includes(HERE));
    if (lines[ours - 1]?.includes('async_hooks')) ours -= 1;
    return ours > 0 ? lines.slice(0, ours).join('\n') : whole;
  }

  return value;
}

// --- replies

/** Writes a line whole. The pipe blocks, unless the handler has changed that. */
function send(line) {
  const bytes = Buffer.from(line);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(OUT, bytes, at);
    } catch (error) {
      if (error.code === 'EPIPE') process.exit(0); // nobody is there any more
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function sendResult(id, result) {
  let json;
  try {
    json = JSON.stringify(result) ?? 'null';
  } catch (error) {
    return sendError(id, error); // a cycle, a BigInt, a toJSON that throws
  }
  send(`{"id":${id},"status":"ok","data":${json}}\n`);
}

function sendProgress(id, data) {
  send(`{"id":${id},"status":"progress","data":${JSON.stringify(data) ?? 'null'}}\n`);
}

function sendError(id, error) {
  send(`{"id":${id},"status":"error","error":${errorJson(error)}}\n`);
}

function fatal(error) {
  loaded = true;
  send(`{"status":"fatal","error":${errorJson(error)}}\n`);
  process.exit(1);
}

// --- the handler

/** The functions that the file exports, by name. Classes are no handlers. */
function exported(module) {
  const functions = new Map();
  const add = (name, any) => {
    if (typeof any === 'function' && !/^class\b/.test(Function.prototype.toString.call(any))) functions.set(name, any);
  };
  // What a CommonJS file exports is the default, and only in part also there by name.
  const whole = typeof module.default === 'object' ? module.default : null;
  for (const [name, any] of Object.entries({ ...whole, ...module })) if (name !== 'module.exports') add(name, any);
  const main = functions.get('default');
  if (main && !functions.has(main.name)) add(main.name, main);
  return functions;
}

function choose(functions) {
  const own = new Set(functions.values());
  if (named) return functions.get(named) ?? refuse(`${file} exports no function ${named}`, functions);
  if (own.size === 0) return refuse(`${file} exports no function`, functions);
  const only = own.size === 1 ? [...own][0] : undefined;
  const chosen = functions.get('default') ?? functions.get('handler') ?? only;
  return chosen ?? refuse(`${file} exports several functions`, functions);
}

function refuse(reason, functions) {
  const names = [...functions.keys()];
  const error = new Error(names.length ? `${reason}; there are: ${names.join(', ')}` : reason);
  error.stack = '';
  throw error;
}

/** With --route, the job's own choice among the file's functions. */
function routed(functions, data) {
  const name = data?.[route];
  return functions.get(name) ?? refuse(`no function to route ${JSON.stringify(name) ?? 'nothing'} to`, functions);
}

async function load() {
  try {
    const functions = exported(await import(pathToFileURL(file).href));
    if (!route) {
      const handler = choose(functions);
      return () => handler;
    }
    if (functions.size === 0) refuse(`${file} exports no function`, functions);
    return (data) => routed(functions, data);
  } catch (error) {
    return fatal(explained(error));
  }
}

/** An error of loading, with what node itself leaves out. */
function explained(error) {
  if (error?.position?.file) {
    // bun's, for a file that it cannot compile.
    const { file, line, column } = error.position;
    return { name: error.name, message: error.message, stack: `    at ${file}:${line}:${column}` };
  }
  if (!(error instanceof Error)) return error;
  if (error.code === 'ERR_UNKNOWN_FILE_EXTENSION' && file.endsWith('ts')) {
    const flag = '--runtime "node --experimental-strip-types"';
    error.message += ` (for TypeScript: node 22.18, bun or deno; with node 22.6, ${flag})`;
  }
  const lines = String(error.stack).split('\n');
  let stack = lines.filter((line) => !/^ +at .*node:internal/.test(line)).join('\n');
  if (error instanceof SyntaxError && process.release.name === 'node' && !stack.includes(file)) {
    // A module's syntax error does not say where it is; this does.
    const check = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    if (check.status !== 0) stack = check.stderr.replace(/\n+\w*Error: [^]*/, '');
  }
  error.stack = stack;
  return error;
}

// --- jobs

const current = new AsyncLocalStorage(); // the job whose code is running, also in its timers and callbacks
const waiting = []; // lines that are no started jobs yet
let next = 0; // in `waiting`
let open = 0; // jobs started and not answered
let ended = false;
let loaded = false;

function work(handlerOf) {
  while (next < waiting.length && open < concurrency) start(waiting[next++], handlerOf);
  if (next === waiting.length) waiting.length = next = 0;
  // Timers and sockets that the handler left behind keep nobody alive.
  if (ended && open === 0) process.exit(0);
}

function start(line, handlerOf) {
  const { id, attempt = 1, data } = JSON.parse(line);
  const job = { id, done: false };
  const context = { job: id, attempt, progress: (data) => sendProgress(id, data) };
  let result;
  try {
    result = current.run(job, handlerOf(data), data, context);
    if (typeof result?.then !== 'function') return sendResult(id, result);
  } catch (error) {
    return sendError(id, error);
  }
  open += 1;
  job.settle = (reply, value) => {
    if (job.done) return;
    job.done = true;
    open -= 1;
    reply(id, value);
    work(handlerOf);
  };
  Promise.resolve(result).then(
    (value) => job.settle(sendResult, value),
    (error) => job.settle(sendError, error),
  );
}

/** Reads jobs until the input ends. */
function receive(handlerOf) {
  const decoder = new StringDecoder('utf8');
  let begun = '';
  const take = (bytes) => {
    const piece = decoder.write(bytes);
    let from = 0;
    for (let to; (to = piece.indexOf('\n', from)) >= 0; from = to + 1) {
      waiting.push(begun + piece.slice(from, to));
      begun = '';
    }
    begun += piece.slice(from);
    work(handlerOf);
    return true;
  };
  // A socket with a buffer of its own is ten times as fast as a file stream, but bun's reads nothing.
  const onread = { buffer: Buffer.alloc(65536), callback: (length, buffer) => take(buffer.subarray(0, length)) };
  const input = globalThis.Bun
    ? fs.createReadStream('', { fd: 3 }).on('data', take)
    : new net.Socket({ fd: 3, writable: false, onread }).resume();
  input.on('end', () => {
    ended = true;
    work(handlerOf);
  });
}

// An error that no promise and no caller is there to take, such as a throw in a timer: it belongs to the job
// whose code set the timer, if that is not answered yet, for it may never be otherwise. Else it is only logged, and
// no other job suffers from it.
process.on('uncaughtException', (error) => {
  if (!loaded) fatal(error);
  const job = current.getStore();
  if (job?.settle && !job.done) job.settle(sendError, error);
  else console.error('uncaught, in no job that is open:', error);
});
process.on('unhandledRejection', (error) => {
  if (!loaded) fatal(error);
  console.error('unhandled rejection:', error);
});
// forkpool says when to end. (Children of the handler do not inherit this.)
process.on('SIGINT', () => {});
process.on('exit', (code) => {
  if (!loaded) fatal({ name: 'Error', message: `${file} ended the process (exit status ${code}) while it was loaded` });
});

const handlerOf = await load();
loaded = true;
send('{"status":"ready"}\n');
receive(handlerOf);
