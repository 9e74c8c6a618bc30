# A handler, one plain function: forkpool --handler samples/handlers/pet.rb -i samples/names.csv
class KittenBites < StandardError
  def code() 'E_TEETH' end
end

def pet_kitten(kitten)
  name = kitten['name']
  raise KittenBites, "#{name} bites" if name.end_with?('x')

  { name: name, petted: true, purr: "p#{'r' * name.length}" }
end
