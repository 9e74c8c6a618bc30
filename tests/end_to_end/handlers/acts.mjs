// What the tests have a handler do, by the job's `do`.
import { execSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';

const acts = {
  echo: (job) => job,
  print() {
    console.log('{"id":1,"status":"ok","data":"not from the worker"}');
    process.stdout.write('no line');
    execSync('echo from a child', { stdio: 'inherit' });
    return 'printed';
  },
  context(job, { job: number, attempt, progress }) {
    progress({ half: true });
    return { number, attempt };
  },
  fail() {
    throw new TypeError('it fails');
  },
  not_json: () => ({ weight: 5n }),
  circular() {
    const result = {};
    return Object.assign(result, { result });
  },
  nothing() {},
  text: ({ size }) => 'x'.repeat(size),
  linger: () => void setTimeout(() => {}, 3_600_000),
  note: ({ file, text }) => appendFileSync(file, text),
  end: () => process.exit(3),
  child_descriptors: () => execSync('ls /proc/self/fd').toString().trim().split('\n'),
  sleep: ({ ms }) => new Promise((resolve) => setTimeout(resolve, ms, ms)),
  async reject() {
    throw new TypeError('it rejects');
  },
  // In the time of the next job; nobody is there to take it.
  late_throw: () => void setTimeout(() => { throw new Error('too late'); }),
  late_rejection: () => void setTimeout(() => Promise.reject(new Error('too late'))),
  stray_throw: () => new Promise(() => setTimeout(() => { throw new Error('stray'); })),
};

export default function handler(job, context) {
  return acts[job.do](job, context);
}
