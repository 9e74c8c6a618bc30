import { Tinypool } from 'tinypool';
import { runAll, workers } from './jobs.mjs';

const filename = new URL('../workers/handler.mjs', import.meta.url).href;
const { env } = process; // not passed on by itself
const pool = new Tinypool({ filename, env, runtime: 'child_process', minThreads: workers, maxThreads: workers });
await runAll((job) => pool.run(job));
await pool.destroy();
