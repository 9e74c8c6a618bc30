// The worker around a JavaScript or TypeScript handler, for node, bun and deno.
//
// Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. A job
// is answered before the next one starts; with a concurrency above 1 all jobs that are here run at once. In batches the
// jobs up to an empty line are one call, which takes and returns lists, and whose answers are one write.
//
// The handler is given a second argument (progress, attempt, job). Whatever it throws, or rejects with, is the error of
// its job; process.exit ends the worker. Numbers are JavaScript's: integers beyond 2^53 lose digits. A result that JSON
// has no form for is an error that says where it sits.
import { AsyncLocalStorage } from 'node:async_hooks';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import net from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { pathToFileURL } from 'node:url';

const spec = JSON.parse(process.argv.at(-1));
const { file, function: named, route, init, calls_init: callsInit, concurrency, batch } = spec;

// The handler sees what `node FILE` would show it, except that it is not the program: a guard that compares its file
// with process.argv[1] finds another one there, which exists, since some guards resolve it.
process.argv.splice(1, Infinity, process.execPath);
const code = process.execArgv.indexOf('--input-type=module');
if (code >= 0) process.execArgv.splice(code, 3); // or what the handler forks is given them too
delete process._eval;
if (!globalThis.Bun && !globalThis.Deno) {
  // `node -e` makes globals of its modules. (`crypto`, the only one that `node FILE` has as well, is enumerable.)
  const isEverywhere = (name) => Object.prototype.propertyIsEnumerable.call(globalThis, name);
  const ours = builtinModules.filter((name) => !['process', 'console'].includes(name) && !isEverywhere(name));
  for (const name of ours) delete globalThis[name];
}

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

/** Of any realm. */
function isError(any) {
  return any instanceof Error || Object.prototype.toString.call(any) === '[object Error]';
}

function serializer() {
  const path = []; // the objects around the present one: to meet one of them again is a cycle
  let left = TOTAL;

  function text(string) {
    const most = Math.max(0, Math.min(TEXT, left));
    left -= Math.min(string.length, most);
    const cut = string.length > most ? `${string.slice(0, most)}\u2026` : string;
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
    const isAnError = isError(object);
    try {
      if (typeof object.pipe === 'function') return '[object Stream]';
      if (typeof object.toJSON === 'function') return value(object.toJSON());
    } catch (error) {
      if (!isAnError) throw error;
    }
    if (Array.isArray(object)) {
      const out = [];
      for (let i = 0; i < object.length && left > 0; i++) out.push(value(object[i]) ?? null);
      return out;
    }
    const out = Object.create(null);
    if (isAnError) {
      // A name and a message are always there, and text.
      out.name = asText(field(object, 'name') ?? 'Error');
      out.message = asText(field(object, 'message') ?? '');
      out.stack = stack(object);
      for (const key of ['code', 'cause', 'errors']) out[key] = field(object, key) ?? undefined;
    }
    for (const key of Object.keys(object)) {
      if (left <= 0) break;
      if (!(key in out)) out[text(key)] = field(object, key);
    }
    return out;
  }

  function asText(any) {
    return typeof any === 'string' ? any : JSON.stringify(any);
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
    if (typeof whole !== 'string') return '';
    const lines = whole.split('\n');
    let ours = lines.findIndex((line) => line.includes(HERE));
    if (lines[ours - 1]?.includes('async_hooks')) ours -= 1;
    return ours > 0 ? lines.slice(0, ours).join('\n') : whole;
  }

  return value;
}

// --- replies

/** Writes a line whole. A string is written faster than a buffer, but only a buffer can be gone on with. */
function send(line) {
  let at = write(line);
  if (at === Buffer.byteLength(line)) return;
  const bytes = Buffer.from(line);
  while (at < bytes.length) at += write(bytes.subarray(at));
}

/** How many bytes were written. The pipe blocks, unless the handler has changed that. */
function write(piece) {
  try {
    return fs.writeSync(OUT, piece);
  } catch (error) {
    if (error.code === 'EPIPE') process.exit(0); // nobody is there any more
    if (error.code !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    return 0;
  }
}

const sendResult = (id, result) => send(resultLine(id, result));
const sendError = (id, error) => send(errorLine(id, error));

function resultLine(id, result) {
  let json;
  try {
    json = encode(result);
  } catch (error) {
    return errorLine(id, error); // no JSON, a cycle, a toJSON that throws
  }
  return `{"id":${id},"status":"ok","data":${json}}\n`;
}

function errorLine(id, error) {
  return `{"id":${id},"status":"error","error":${errorJson(error)}}\n`;
}

/** The answers to a batch: a list of results, as long as that of its jobs. An error among them is its job's. */
function sendBatch(jobs, results) {
  const list = ArrayBuffer.isView(results) ? Array.from(results) : results;
  if (!Array.isArray(list) || list.length !== jobs.length) {
    const kind = Array.isArray(list) ? `a list of ${list.length}` : `no list but ${list === null ? list : typeof list}`;
    return sendFailedBatch(jobs, new TypeError(`the handler returned ${kind} for a list of ${jobs.length}`));
  }
  let lines = '';
  for (let i = 0; i < jobs.length; i++) lines += (isError(list[i]) ? errorLine : resultLine)(jobs[i].id, list[i]);
  send(lines);
}

/** Asks for each job of the batch by itself, or answers the only one. */
function sendFailedBatch(jobs, error) {
  if (jobs.length === 1) return sendError(jobs[0].id, error);
  send(jobs.map(({ id }) => `{"id":${id},"status":"again"}\n`).join(''));
}

function sendProgress(id, data) {
  send(`{"id":${id},"status":"progress","data":${encode(data)}}\n`);
}

function fatal(error) {
  loaded = true;
  send(`{"status":"${inInit ? 'unstarted' : 'fatal'}","error":${errorJson(error)}}\n`);
  process.exit(1);
}

// --- results

/** As JSON, or an error that names what has no form there, and its place. */
function encode(result) {
  let json;
  try {
    json = JSON.stringify(result);
  } catch {
    return encodeWithCare(result);
  }
  return isPlain(result) ? (json ?? 'null') : encodeWithCare(result);
}

/** Whether there is nothing in it but what JSON knows, and dates. It is no cycle. */
function isPlain(result) {
  if (typeof result !== 'object') return typeof result !== 'function' && typeof result !== 'symbol';
  const open = [result];
  for (let any = open.pop(); any; any = open.pop()) {
    const prototype = Object.getPrototypeOf(any);
    if (prototype === Date.prototype) continue;
    if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return false;
    for (const key in any) {
      const item = any[key];
      if (typeof item === 'object') {
        if (item !== null) open.push(item);
      } else if (typeof item === 'function' || typeof item === 'symbol') {
        return false;
      }
    }
  }
  return true;
}

/** Looks at each value after its toJSON, which takes several times as long. */
function encodeWithCare(result) {
  const paths = new Map(); // of the objects so far
  return JSON.stringify(result, function (key, any) {
    const around = paths.get(this);
    const step = Array.isArray(this) ? `[${key}]` : /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    const path = around === undefined ? '$' : around + step;
    const kind = kindWithoutForm(any);
    if (kind) throw new TypeError(`${path}: ${/^[aeiou]/i.test(kind) ? 'an' : 'a'} ${kind} is no JSON`);
    if (typeof any === 'object' && any !== null) paths.set(any, path);
    return any;
  });
}

/** What JSON.stringify makes `{}` of, or numbered fields, or less than there is, or leaves out. */
const FORMLESS = /(?:Array|Buffer|DataView|Error|Exception|Generator|Iterator|Map|Promise|Ref|RegExp|Set)$/;

/** The name of a kind of value that has no form in JSON. An object of a class has one: its fields, if there are any. */
function kindWithoutForm(any) {
  if (typeof any === 'function') return isClass(any) ? 'class' : 'function';
  if (typeof any === 'symbol') return 'symbol';
  if (typeof any === 'bigint') return 'BigInt';
  if (typeof any !== 'object' || any === null || Array.isArray(any)) return undefined;
  const prototype = Object.getPrototypeOf(any);
  const isPlainObject = prototype === null || Object.getPrototypeOf(prototype) === null; // of any realm
  const tag = Object.prototype.toString.call(any).slice(8, -1);
  if (isPlainObject || /^(?:Number|String|Boolean)$/.test(tag)) return undefined;
  if (typeof any.then !== 'function' && !FORMLESS.test(tag) && Object.keys(any).length > 0) return undefined;
  return any.constructor?.name || tag;
}

// --- the handler

const isClass = (any) => /^class\b/.test(Function.prototype.toString.call(any));
const isFunction = (any) => typeof any === 'function' && !isClass(any);

/** The file as a module. CommonJS is required: imported it has no module.parent, and a guard by that would fire. */
async function loadModule() {
  const isNode = !globalThis.Bun && !globalThis.Deno;
  const isScript = isNode && /\.c?js$/.test(file);
  if (isScript && !/^\s*(?:import|export)\b/m.test(fs.readFileSync(file, 'utf8'))) {
    try {
      return { default: createRequire(file)(file) };
    } catch (error) {
      if (!/^ERR_REQUIRE_/.test(error?.code)) throw error; // it is none after all
    }
  }
  return import(pathToFileURL(file).href);
}

/** What the file exports, by name; of an object that is the default export (in CommonJS it always is), its members. */
function exportsOf(module) {
  // Compiled TypeScript has exports of its own there, with their own default.
  const own = module.default?.__esModule ? module.default : module;
  const main = own.default;
  const out = new Map(membersOf(main));
  for (const [name, any] of Object.entries(own)) {
    const isMember = name === 'default' || name === 'module.exports' || any === main?.[name];
    if (!isMember) out.set(name, any);
  }
  if (isFunction(main) && main.name && !out.has(main.name)) out.set(main.name, main);
  if (main !== undefined && !out.has('default')) out.set('default', main);
  return out;
}

/** The members of an object or function, those of its class too. Its methods keep it as their `this`. */
function* membersOf(object) {
  if ((typeof object !== 'object' || Array.isArray(object)) && !isFunction(object)) return;
  const ends = [null, Object.prototype, Function.prototype];
  for (let part = object; !ends.includes(part); part = Object.getPrototypeOf(part)) {
    for (const name of Object.getOwnPropertyNames(part)) {
      const any = valueOf(object, name);
      if (name !== 'constructor') yield [name, isFunction(any) ? any.bind(object) : any];
    }
  }
}

/** A getter may throw. */
function valueOf(object, name) {
  try {
    return object[name];
  } catch {
    return undefined;
  }
}

/** What is named is used, or refused; a guess is only for a file that names nothing. */
function choose(exports, functions) {
  if (named) return functions.get(named) ?? refuse(`${file} exports no function ${named}`, functions);
  for (const name of ['default', 'handler']) if (functions.has(name)) return functions.get(name);
  const own = new Set(functions.values());
  // An object is a set of functions, unless it has none and others are exported beside it.
  const isSet = (any) => typeof any === 'object' && any !== null && (own.size === 0 || hasFunctions(any));
  for (const name of ['handler', 'default']) {
    const any = exports.get(name);
    const isFine = !exports.has(name) || (name === 'default' && isSet(any));
    if (!isFine) refuse(`${file}: its export ${name} is ${described(any)}, no function`, functions);
  }
  if (own.size === 1) return [...own][0];
  return refuse(`${file} exports ${own.size ? 'several functions' : 'no function'}`, functions);
}

const hasFunctions = (object) => [...membersOf(object)].some(([, any]) => isFunction(any));
const described = (any) => (typeof any === 'function' ? 'a class' : `of type ${any === null ? any : typeof any}`);

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

/** A function that chooses the one for a job, and the function of --init, which is none of those. */
async function load() {
  try {
    const all = exportsOf(await loadModule());
    const everyFunction = functionsAmong(all);
    const missing = () => refuse(`${file} exports no function ${init}`, everyFunction);
    const initialize = init ? (everyFunction.get(init) ?? missing()) : undefined;
    const exports = new Map([...all].filter(([name, any]) => !init || (name !== init && any !== initialize)));
    const functions = functionsAmong(exports);
    if (!route) {
      const handler = choose(exports, functions);
      return { handlerOf: () => handler, initialize };
    }
    if (functions.size === 0) refuse(`${file} exports no function`, functions);
    return { handlerOf: (data) => routed(functions, data), initialize };
  } catch (error) {
    return fatal(explained(error));
  }
}

const functionsAmong = (exports) => new Map([...exports].filter(([, any]) => isFunction(any)));

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
let isAsync = false; // the handler has returned a promise
let inInit = false; // the function of --init runs
let loaded = false; // that has come to its end, too

function work(handlerOf) {
  if (batch) workBatches(handlerOf);
  else while (next < waiting.length && open < concurrency) start(waiting[next++], handlerOf);
  if (next === waiting.length) waiting.length = next = 0;
  // Timers and sockets that the handler left behind keep nobody alive.
  if (ended && open === 0) process.exit(0);
}

function workBatches(handlerOf) {
  for (let end; open === 0 && (end = waiting.indexOf('')) >= 0; ) {
    const jobs = JSON.parse(`[${waiting.splice(0, end + 1).slice(0, end).join(',')}]`);
    call(jobs, jobs.map(({ data }) => data), jobs.map(contextOf), sendBatch, sendFailedBatch, handlerOf);
  }
}

function start(line, handlerOf) {
  const job = JSON.parse(line);
  call(job.id, job.data, contextOf(job), sendResult, sendError, handlerOf);
}

const contextOf = ({ id, attempt = 1 }) => ({ job: id, attempt, progress: (data) => sendProgress(id, data) });

/** Calls the handler. `reply` and `fail` answer for `id`, which is a job's or, in a batch, all of its jobs. */
function call(id, data, context, reply, fail, handlerOf) {
  const job = { fail, done: false };
  let result;
  try {
    result = current.run(job, handlerOf(data), data, context);
    if (typeof result?.then !== 'function') return reply(id, result);
  } catch (error) {
    return fail(id, error);
  }
  if (!isAsync) send('{"status":"async"}\n');
  isAsync = true;
  open += 1;
  job.settle = (answer, value) => {
    if (job.done) return;
    job.done = true;
    open -= 1;
    answer(id, value);
    work(handlerOf);
  };
  Promise.resolve(result).then(
    (value) => job.settle(reply, value),
    (error) => job.settle(fail, error),
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
  if (job?.settle && !job.done) job.settle(job.fail, error);
  else console.error('uncaught, in no job that is open:', error);
});
process.on('unhandledRejection', (error) => {
  if (!loaded) fatal(error);
  console.error('unhandled rejection:', error);
});
// forkpool says when to end. (Children of the handler do not inherit this.)
process.on('SIGINT', () => {});
process.on('beforeExit', () => {
  const message = `${inInit ? init : file} waits for a promise that nothing settles any more`;
  if (!loaded) fatal({ name: 'Error', message });
});
process.on('exit', (code) => {
  const what = inInit ? init : file;
  const when = inInit ? 'ran' : 'was loaded';
  const message = `${what} ended the process (exit status ${code}) while it ${when}`;
  if (!loaded) fatal({ name: 'Error', message });
});

send('{"status":"loading","data":"the file of the handler"}\n');
const { handlerOf, initialize } = await load();
if (initialize && callsInit) {
  inInit = true;
  send(`{"status":"init","data":${JSON.stringify(init)}}\n`);
  try {
    await initialize();
  } catch (error) {
    fatal(error);
  }
}
loaded = true;
send('{"status":"ready"}\n');
receive(handlerOf);
