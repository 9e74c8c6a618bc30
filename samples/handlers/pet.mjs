// A handler, one plain function: forkpool --handler samples/handlers/pet.mjs -i samples/names.csv
class KittenBites extends Error {
  name = 'KittenBites';
  code = 'E_TEETH';
}

export default function petKitten({ name }) {
  if (name.endsWith('x')) throw new KittenBites(`${name} bites`);
  return { name, petted: true, purr: 'p' + 'r'.repeat([...name].length) };
}
