# Raises the cases of errors.json.
class KittenBites < StandardError
  def initialize(message = '', **fields)
    super(message)
    fields.each { |name, value| instance_variable_set("@#{name}", value) }
  end
end

class KittensBite < KittenBites
  attr_reader :errors
end

class Mute < KittenBites
  def self.name() = 'KittenBites'
  def message() = raise('no')
end

class Traceless < KittenBites
  def self.name() = 'KittenBites'
  def backtrace() = raise('no')
end

class Secret
  def to_s() = raise('no')
end

def _caused(message, cause)
  raise KittenBites.new(message), cause: cause
rescue KittenBites => e
  e
end

def _cycle
  error = KittenBites.new('round')
  error.instance_variable_set(:@self, error)
  error.instance_variable_set(:@collar, { of: error })
  error
end

def _twice
  collar = { bells: 1 }
  KittenBites.new('Tom bites', first: collar, second: collar)
end

def _deep_chain
  (1..4999).reduce(KittenBites.new('deep')) { |error, _| _caused('deep', error) }
end

CASES = {
  'plain' => -> { KittenBites.new('Tom bites') },
  'empty_message' => -> { KittenBites.new('') },
  'unicode' => -> { KittenBites.new(%(Jürgen 🐾 "bites"\n\0)) },
  'code' => -> { KittenBites.new('Tom bites', code: 'E_TEETH') },
  'own_fields' => -> { KittenBites.new('Tom bites', paws: 4, collar: { bells: [1, 'two', true, nil] }) },
  'retry_advice' => -> { KittenBites.new('later', retryable: false, retry_after: 2.5) },
  'cause_chain' => -> { _caused('outer', _caused('middle', KittenBites.new('inner'))) },
  'error_in_a_field' => -> { KittenBites.new('Tom bites', victim: KittenBites.new('ouch')) },
  'aggregate' => -> { KittensBite.new('all bite', errors: [KittenBites.new('one'), KittenBites.new('two')]) },
  'cycle' => -> { _cycle },
  'twice_is_no_cycle' => -> { _twice },
  'deep_chain' => -> { _deep_chain },
  'throwing_field' => -> { KittenBites.new('Tom bites', teeth: Secret.new, paws: 4) },
  'throwing_message' => -> { Mute.new },
  'throwing_backtrace' => -> { Traceless.new('Tom bites', status: 422) },
  'not_a_number' => -> { KittenBites.new('Tom bites', weight: Float::NAN) },
  'large' => -> { KittenBites.new('m' * 1_000_000, list: ['x' * 100] * 100_000) }
}.freeze

def handler(job)
  raise CASES[job['name']].call
end
