// What is claimed of the client for Node: claims.mjs CLAIM, in an empty folder. It fails where one is not true.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const { JobError, Pool, PoolError, run } = await import(pathToFileURL(process.env.CLIENT));

writeFileSync(
  'pet.mjs',
  `export default async function pet(kitten) {
    if (kitten !== 'Felix') return kitten;
    const error = new Error('Felix bites', { cause: new TypeError('hungry') });
    throw Object.assign(error, { name: 'KittenBites', code: 'E_TEETH' });
  }`,
);
writeFileSync(
  'hang.mjs',
  `import { writeFileSync } from 'node:fs';
  export default (file) => { writeFileSync(file, ''); for (;;); }`,
);

async function all(records) {
  const list = [];
  for await (const record of records) list.push(record);
  return list;
}

function* forEver(job) {
  for (;;) yield job;
}

async function waitUntilThere(file) {
  while (!existsSync(file)) await pause(5);
}

function isFailure(error) {
  assert.ok(error instanceof JobError);
  assert.deepEqual([error.name, error.message, error.code], ['KittenBites', 'Felix bites', 'E_TEETH']);
  assert.match(error.stack, /pet\.mjs/);
  assert.equal(error.status, 'error');
  assert.deepEqual([error.cause.name, error.cause.message], ['TypeError', 'hungry']);
  return true;
}

const claims = {
  async each_job_ends_in_a_record_in_the_order_of_the_jobs() {
    const records = await all(run('pet.mjs', ['Tom', 'Felix', 'Mia'], { workers: 2, id: undefined, verbose: false }));
    assert.deepEqual(records.map(({ job, data }) => [job, data]), [[1, 'Tom'], [2, undefined], [3, 'Mia']]);
    assert.equal(records[1].error.code, 'E_TEETH');
    assert.deepEqual(await all(run(['cat'], ['Tom'], { protocol: 'lines', records: false })), ['Tom']);
  },

  async a_failure_is_an_exception_with_all_that_the_handler_threw() {
    const pool = new Pool('pet.mjs', { workers: 1 });
    await assert.rejects(pool.run('Felix'), isFailure);
    assert.equal(await pool.run('Tom'), 'Tom');
    await pool.close();
    const other = new Pool('pet.mjs', { workers: 1, records: true });
    assert.equal((await other.run('Felix')).status, 'error');
    await other.close();
    await assert.rejects(all(run('pet.mjs', ['Tom', 'Felix', 'Mia'], { records: false, workers: 1 })), isFailure);
  },

  async jobs_are_taken_only_as_far_ahead_as_there_is_room() {
    let taken = 0;
    function* jobs() {
      for (;;) {
        taken += 1;
        yield 'x'.repeat(1000);
      }
    }
    const records = run('pet.mjs', jobs(), { workers: 1, window: 10 });
    assert.equal((await records.next()).value.job, 1);
    // It comes to rest, since nobody takes the records.
    for (let before = -1; before !== taken; await pause(200)) before = taken;
    assert.ok(taken < 5000, `${taken}`);
    await records.return();
  },

  async a_job_is_answered_before_the_next_one_is_there() {
    let answered;
    const answer = new Promise((resolve) => (answered = resolve));
    async function* jobs() {
      yield 'Tom';
      yield 'Mia';
      await answer;
      yield 'Max';
    }
    let last;
    for await (const { job } of run('pet.mjs', jobs(), { workers: 1 })) {
      if (job === 2) answered();
      last = job;
    }
    assert.equal(last, 3);
  },

  async an_error_of_the_jobs_is_raised_after_the_records_before_it() {
    const seen = [];
    const use = async () => {
      for await (const { status } of run('pet.mjs', ['Tom', 10n], { workers: 1 })) seen.push(status);
    };
    await assert.rejects(use(), TypeError);
    assert.deepEqual(seen, ['ok']);
  },

  async an_option_that_is_none_is_refused_with_the_words_of_the_command() {
    const isRefusal = (error) => error instanceof PoolError && error.status === 2 && error.message.includes('--workers');
    await assert.rejects(all(run('pet.mjs', [1], { wrokers: 1 })), isRefusal);
    const pool = new Pool('pet.mjs', { wrokers: 1 });
    await assert.rejects(pool.run(1), isRefusal);
    await assert.rejects(pool.run(1), PoolError);
    await assert.rejects(pool.close(), isRefusal);
  },

  async a_pool_whose_workers_cannot_load_rejects_its_jobs() {
    writeFileSync('broken.mjs', "import 'nothing_of_that_name';\n");
    const pool = new Pool('broken.mjs', { workers: 1, startTimeout: '30s' });
    const told = (error) => error instanceof PoolError && error.status === 3 && /nothing_of_that_name/.test(error.message);
    await assert.rejects(pool.run(1), told);
  },

  async ten_thousand_jobs_are_in_flight_and_each_gets_its_own_answer() {
    const pool = new Pool('pet.mjs', { workers: 2 });
    const numbers = Array.from({ length: 10_000 }, (_, at) => at);
    assert.deepEqual(await Promise.all(numbers.map((number) => pool.run(number))), numbers);
    await pool.close();
  },

  async a_reload_takes_over_an_edited_handler_and_loses_no_job() {
    const pool = new Pool('pet.mjs', { workers: 2 });
    assert.equal(await pool.run('Tom'), 'Tom');
    const answers = Array.from({ length: 500 }, () => pool.run('Mia'));
    writeFileSync('pet.mjs', "export default () => 'edited';\n");
    await pool.reload();
    for (const answer of await Promise.all(answers)) assert.ok(['Mia', 'edited'].includes(answer));
    while ((await pool.run('Tom')) !== 'edited') await pause(5);
    await pool.close();
  },

  async a_signal_takes_back_a_job_or_ends_all() {
    const pool = new Pool('hang.mjs', { workers: 1 });
    const one = new AbortController();
    const answer = pool.run('in-hand', { signal: one.signal });
    await waitUntilThere('in-hand');
    one.abort();
    await assert.rejects(answer, { name: 'AbortError' });
    await assert.rejects(pool.run('other', { signal: one.signal }), { name: 'AbortError' });
    await pool.kill();

    const whole = new AbortController();
    const records = all(run('hang.mjs', ['of-a-run'], { workers: 1, signal: whole.signal }));
    const asked = new Pool('hang.mjs', { workers: 1, signal: whole.signal }).run('of-a-pool');
    await Promise.all(['of-a-run', 'of-a-pool'].map(waitUntilThere));
    whole.abort();
    await Promise.all([records, asked].map((promise) => assert.rejects(promise, { name: 'AbortError' })));
  },

  async leaving_early_ends_what_runs() {
    for await (const record of run('hang.mjs', forEver('begun'), { workers: 1, timeout: 0.5, window: 1 })) break;
    const pool = new Pool('hang.mjs', { workers: 1 });
    const answer = assert.rejects(pool.run('in-hand'), PoolError);
    await waitUntilThere('in-hand');
    await pool.kill();
    await answer;
    // An open pool that has nothing to do does not keep the program.
    await new Pool('pet.mjs', { workers: 1 }).run('Tom');
  },

  async hang() {
    await all(run('hang.mjs', ['hanging'], { workers: 1 }));
  },

  async hang_with_a_pool() {
    await new Pool('hang.mjs', { workers: 1 }).run('hanging');
  },
};

await claims[process.argv[2]]();
