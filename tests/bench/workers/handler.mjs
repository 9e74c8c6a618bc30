// The job of every benchmark: sleeps for `ms` if the job says so, and returns the job.
const cell = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms) => Atomics.wait(cell, 0, 0, ms);

// Stands for an expensive import.
if (process.env.BENCH_IMPORT_MS) pause(Number(process.env.BENCH_IMPORT_MS));

export default function handle(job) {
  if (job.ms) pause(job.ms);
  return job;
}
