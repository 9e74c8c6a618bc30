// A worker in Node, to start from: forkpool -i samples/names.csv -- node samples/workers/worker.mjs
import { createInterface } from 'node:readline';

const reply = (message) => process.stdout.write(JSON.stringify(message) + '\n');
console.log = console.error; // stray output to stderr

async function petKitten({ name }) {
  if (name.endsWith('x')) throw new Error(`${name} bites`);
  return { name, petted: true };
}

reply({ status: 'ready' }); // optional: says that all is loaded
createInterface({ input: process.stdin }).on('line', async (line) => {
  if (!line.trim()) return;
  const { id, data } = JSON.parse(line);
  try {
    reply({ id, status: 'ok', data: await petKitten(data) });
  } catch ({ name, message }) {
    reply({ id, status: 'error', error: { name, message } });
  }
});
