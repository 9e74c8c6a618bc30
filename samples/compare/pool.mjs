import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'csv-parse';
import { Piscina } from 'piscina';

const pool = new Piscina({ filename: resolve('samples/handlers/pet.mjs'), maxThreads: 2 });
const waiting = [];
let job = 0;

async function attempt(kitten) {
  try {
    return { status: 'ok', data: await pool.run(kitten) };
  } catch ({ name, message, stack, code }) {
    return { status: 'error', error: { name, message, stack, code } };
  }
}

async function write(record) {
  console.log(JSON.stringify({ job: ++job, ...(await record) }));
  if ((await record).status !== 'ok') process.exitCode = 1;
}

for await (const kitten of createReadStream('samples/names.csv').pipe(parse({ columns: true }))) {
  waiting.push(attempt(kitten));
  if (waiting.length > 1000) await write(waiting.shift()); // reads no further ahead
}
for (const record of waiting) await write(record);
await pool.close();
