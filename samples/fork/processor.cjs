// The same as a CommonJS file without a dependency:
// forkpool --protocol node-ipc -i samples/names.csv -- node samples/fork/processor.cjs
'use strict';

async function petKitten(name) {
  if (name.endsWith('x')) throw Object.assign(new Error(`${name} bites`), { code: 'E_TEETH' });
  return `${name} purrs`;
}

process.on('message', async ({ name }) => {
  try {
    process.send({ status: 'ok', data: await petKitten(name) });
  } catch (error) {
    const { name, message, stack } = error;
    process.send({ status: 'error', data: { name, message, stack, ...error } });
  }
});
