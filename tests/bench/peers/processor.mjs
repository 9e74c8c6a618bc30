// The forked side of generic-pool.mjs.
import handle from '../workers/handler.mjs';

process.on('message', (job) => {
  try {
    process.send({ status: 'ok', data: handle(job) });
  } catch (error) {
    process.send({ status: 'error', data: { name: error.name, message: error.message } });
  }
});
