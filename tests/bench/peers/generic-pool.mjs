// The classic: generic-pool over child_process.fork. A processor is validated when it is borrowed, gets one
// job as a message, answers {status, data}, and is always released.
import { fork } from 'node:child_process';
import { createPool } from 'generic-pool';
import { runAll, workers } from './jobs.mjs';

const pool = createPool(
  {
    create: async () => fork(new URL('processor.mjs', import.meta.url)),
    destroy: async (processor) => void processor.kill(),
    validate: async (processor) => processor.connected,
  },
  { min: workers, max: workers, testOnBorrow: true },
);

function ask(processor, job) {
  return new Promise((resolve, reject) => {
    const settle = (end, value) => {
      processor.off('message', onMessage);
      processor.off('error', onError);
      end(value);
    };
    const onMessage = ({ status, data }) => (status === 'ok' ? settle(resolve, data) : settle(reject, data));
    const onError = (error) => settle(reject, error);
    processor.on('message', onMessage);
    processor.on('error', onError);
    processor.send(job);
  });
}

await runAll(async (job) => {
  const processor = await pool.acquire();
  try {
    return await ask(processor, job);
  } finally {
    await pool.release(processor);
  }
});
await pool.drain();
await pool.clear();
