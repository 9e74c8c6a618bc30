// Throws the cases of errors.json.
class KittenBites extends Error {
  name = 'KittenBites';
}

const bites = (message, fields = {}, options = {}) => Object.assign(new KittenBites(message, options), fields);
const chain = (length) => {
  let error = bites('deep');
  for (let i = 1; i < length; i++) error = bites('deep', {}, { cause: error });
  return error;
};

const cases = {
  plain: () => bites('Tom bites'),
  empty_message: () => bites(''),
  unicode: () => bites('Jürgen 🐾 "bites"\n\u0000'),
  code: () => bites('Tom bites', { code: 'E_TEETH' }),
  own_fields: () => bites('Tom bites', { paws: 4, collar: { bells: [1, 'two', true, null] } }),
  retry_advice: () => bites('later', { retryable: false, retry_after: 2.5 }),
  cause_chain: () => bites('outer', {}, { cause: bites('middle', {}, { cause: bites('inner') }) }),
  error_in_a_field: () => bites('Tom bites', { victim: bites('ouch') }),
  aggregate: () => Object.assign(new AggregateError([bites('one'), bites('two')], 'all bite'), { name: 'KittensBite' }),
  cycle: () => {
    const error = bites('round');
    return Object.assign(error, { self: error, collar: { of: error } });
  },
  twice_is_no_cycle: () => {
    const collar = { bells: 1 };
    return bites('Tom bites', { first: collar, second: collar });
  },
  deep_chain: () => chain(5000),
  throwing_field: () => bites('Tom bites', { teeth: { toJSON() { throw new Error('no'); } }, paws: 4 }),
  throwing_to_json: () => bites('Tom bites', { paws: 4, toJSON() { throw new Error('no'); } }),
  throwing_getter: () => {
    const teeth = { enumerable: true, get() { throw new Error('no'); } };
    return Object.defineProperty(bites('Tom bites', { paws: 4 }), 'teeth', teeth);
  },
  throwing_message: () => Object.defineProperty(new KittenBites(), 'message', { get() { throw new Error('no'); } }),
  odd_message: () => bites('', { message: { f: 1 }, status: 422 }),
  odd_name_and_stack: () => bites('Tom bites', { name: [1], stack: { f: 1 }, status: 422 }),
  not_a_number: () => bites('Tom bites', { weight: NaN }),
  odd_values: () => bites('Tom bites', { run() {}, big: 5n, bytes: new Uint8Array(3), at: new Date(0) }),
  text: () => 'boom',
  number: () => 5,
  nothing: () => null,
  not_defined: () => undefined,
  list: () => [1, 'two'],
  object: () => ({ message: 'no error', paws: 4 }),
  function: () => () => 1,
  large: () => bites('m'.repeat(1_000_000), { list: Array(100_000).fill('x'.repeat(100)) }),
};

export default function ({ name }) {
  throw cases[name]();
}
