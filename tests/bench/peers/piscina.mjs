import { Piscina } from 'piscina';
import { runAll, workers } from './jobs.mjs';

const filename = new URL('../workers/handler.mjs', import.meta.url).href;
const pool = new Piscina({ filename, minThreads: workers, maxThreads: workers });
await runAll((job) => pool.run(job));
await pool.destroy();
