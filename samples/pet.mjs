#!/usr/bin/env node
// A worker written by hand: one JSON line in, one out. forkpool -i samples/names.csv -- node samples/pet.mjs
import { createInterface } from 'node:readline';

class KittenBites extends Error {
  name = 'KittenBites';
  code = 'E_TEETH';
}

function petKitten({ name }) {
  if (name.endsWith('x')) throw new KittenBites(`${name} bites`);
  return { name, petted: true, purr: 'p' + 'r'.repeat([...name].length) };
}

function serialize({ name, message, stack, code }) {
  return { name, message, stack, code };
}

createInterface({ input: process.stdin }).on('line', (line) => {
  if (!line.trim()) return;
  const { id, data } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ id, status: 'ok', data: petKitten(data) }));
  } catch (error) {
    console.log(JSON.stringify({ id, status: 'error', error: serialize(error) }));
  }
});
