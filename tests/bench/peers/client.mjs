// The client for Node.
import { Pool } from '../../../src/clients/node/index.js';
import { runAll, workers } from './jobs.mjs';

const pool = new Pool(new URL('../workers/handler.mjs', import.meta.url), { workers });
await runAll((job) => pool.run(job));
await pool.close();
