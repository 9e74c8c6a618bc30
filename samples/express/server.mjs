// A service in front of a pool, whose worker was written for child_process.fork() and runs as it is:
// node samples/express/server.mjs PORT-FILE
//   POST /kittens {"name":"Tom"}       202 at once; the kitten is petted when a worker is free
//   POST /kittens/pet {"name":"Tom"}   waits for the result: 200, or 422 with the kitten's error
// SIGTERM ends it after every kitten that was accepted has been petted; SIGHUP takes over an edited processor.
import { writeFileSync } from 'node:fs';
import express from 'express';
import { JobError, Pool } from '../../src/clients/node/index.js';

const [portFile] = process.argv.slice(2);
const processor = 'samples/fork/processor.mjs';
const pool = new Pool(['node', processor], { protocol: 'node-ipc', workers: 2, timeout: 30 });
/** Resolves to the result of a job, or rejects with its error. */
const executeCommand = (params) => pool.run(params);
const app = express().use(express.json());
/** Those that nobody waits for are told here. */
const accepted = new Set();

app.post('/{*path}', ({ body }, response, next) => {
  if (typeof body?.name === 'string') next();
  else response.status(400).json({ message: 'a kitten has a name: {"name":"Tom"}' });
});

app.post('/kittens', ({ body: { name } }, response) => {
  const petted = executeCommand({ name })
    .then((words) => console.log(words), (error) => console.log(`${name}: ${error.name}: ${error.message}`))
    .finally(() => accepted.delete(petted));
  accepted.add(petted);
  response.status(202).json({ accepted: name });
});

app.post('/kittens/pet', async ({ body }, response) => {
  try {
    response.json({ result: await executeCommand({ name: body.name }) });
  } catch (error) {
    const { name, code, message } = error;
    response.status(error instanceof JobError ? 422 : 503).json({ name, code, message });
  }
});

const server = app.listen(0, '127.0.0.1', () => writeFileSync(portFile, `${server.address().port}\n`));
process.on('SIGHUP', () => pool.reload());
process.on('SIGTERM', () => {
  // Requests that have come are answered, new ones are not taken. Then the pool has all of its jobs, and answers them.
  server.close(async () => {
    await Promise.all(accepted);
    await pool.close();
  });
});
