// Functions for --init, and a handler that shows what they have done.
import fs from 'node:fs';

let calls = 0;
let slot = null;

export async function connect() {
  await new Promise((resolve) => setTimeout(resolve, 1));
  calls += 1;
  slot = process.env.FORKPOOL_SLOT;
}

export const refuse = async () => {
  throw new TypeError('no database');
};

export function refuse_once() {
  if (fs.existsSync('refused')) return undefined;
  fs.writeFileSync('refused', '');
  return refuse();
}

export const leave = () => process.exit(3);

export const wait = () => new Promise(() => {});

export default () => ({ calls, slot });
