<?php // Throws the cases of errors.json.
#[AllowDynamicProperties]
class KittenBites extends Exception
{
    function __construct($message = '', $fields = [], $cause = null)
    {
        parent::__construct($message, 0, $cause);
        foreach ($fields as $name => $value) {
            $this->$name = $value;
        }
    }
}

class KittensBite extends KittenBites
{
}

function _odd_message()
{
    $error = new KittenBites('', ['status' => 422]);
    (new ReflectionProperty(Exception::class, 'message'))->setValue($error, ['f' => 1]);
    return $error;
}

class Secret implements JsonSerializable
{
    function jsonSerialize(): mixed
    {
        throw new Exception('no');
    }
}

function _cycle()
{
    $error = new KittenBites('round');
    $error->self = $error;
    $error->collar = ['of' => $error];
    return $error;
}

function _twice()
{
    $collar = (object) ['bells' => 1];
    return new KittenBites('Tom bites', ['first' => $collar, 'second' => $collar]);
}

function _deep_chain()
{
    $error = new KittenBites('deep');
    for ($i = 1; $i < 5000; $i++) {
        $error = new KittenBites('deep', [], $error);
    }
    return $error;
}

function handler($job)
{
    throw match ($job['name']) {
        'plain' => new KittenBites('Tom bites'),
        'empty_message' => new KittenBites(''),
        'unicode' => new KittenBites("Jürgen 🐾 \"bites\"\n\0"),
        'code' => new KittenBites('Tom bites', ['code' => 'E_TEETH']),
        'own_fields' => new KittenBites('Tom bites', ['paws' => 4, 'collar' => ['bells' => [1, 'two', true, null]]]),
        'retry_advice' => new KittenBites('later', ['retryable' => false, 'retry_after' => 2.5]),
        'cause_chain' => new KittenBites('outer', [], new KittenBites('middle', [], new KittenBites('inner'))),
        'error_in_a_field' => new KittenBites('Tom bites', ['victim' => new KittenBites('ouch')]),
        'aggregate' => new KittensBite('all bite', ['errors' => [new KittenBites('one'), new KittenBites('two')]]),
        'cycle' => _cycle(),
        'twice_is_no_cycle' => _twice(),
        'deep_chain' => _deep_chain(),
        'throwing_field' => new KittenBites('Tom bites', ['teeth' => new Secret, 'paws' => 4]),
        'not_a_number' => new KittenBites('Tom bites', ['weight' => NAN]),
        'odd_message' => _odd_message(),
        'large' => new KittenBites(str_repeat('m', 1000000), ['list' => array_fill(0, 100000, str_repeat('x', 100))]),
    };
}
