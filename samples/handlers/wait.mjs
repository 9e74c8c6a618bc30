// An async handler, many jobs at once in one worker; it only sleeps, 20 ms a letter:
// forkpool -j 1 --concurrency 12 --handler samples/handlers/wait.mjs -i samples/kittens.ndjson
import { setTimeout as sleep } from 'node:timers/promises';

export default async function nap({ name }) {
  const ms = 20 * [...name].length;
  await sleep(ms);
  return { name, slept: ms };
}
