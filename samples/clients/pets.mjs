// A pool inside of a program: node samples/clients/pets.mjs
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { JobError, Pool, run } from '../../src/clients/node/index.js';

const pet = 'samples/handlers/pet.mjs';

// Many jobs: a record for each, in their order.
async function* kittens() {
  const input = createReadStream('samples/kittens.ndjson');
  for await (const line of createInterface({ input })) yield JSON.parse(line);
}
for await (const { job, error } of run(pet, kittens(), { workers: 2, timeout: 5 })) {
  if (error) console.log(job, error.message);
}

// One at a time, whenever there is one.
const pool = new Pool(pet, { workers: 2 });
console.log(await pool.run({ name: 'Tom' }));
try {
  await pool.run({ name: 'Felix' });
} catch (error) {
  if (!(error instanceof JobError)) throw error;
  console.log(`${error.name} (${error.code}): ${error.message}`);
}
await pool.close();
