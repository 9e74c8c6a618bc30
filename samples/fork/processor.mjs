// A worker of a child_process.fork() pool, as it is. npm install --prefix samples/fork, then
// forkpool --protocol node-ipc -i samples/names.csv -- node samples/fork/processor.mjs
import { serializeError } from 'serialize-error';

async function petKitten(name) {
  if (name.endsWith('x')) throw Object.assign(new Error(`${name} bites`), { code: 'E_TEETH' });
  return `${name} purrs`;
}

process.on('message', async ({ name }) => {
  try {
    process.send({ status: 'ok', data: await petKitten(name) });
  } catch (error) {
    process.send({ status: 'error', data: serializeError(error) });
  }
});
