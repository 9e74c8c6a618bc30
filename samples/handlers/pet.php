<?php // A handler, one plain function: forkpool --handler samples/handlers/pet.php -i samples/names.csv
class KittenBites extends Exception
{
    protected $code = 'E_TEETH';
}

function pet_kitten($kitten)
{
    $name = $kitten['name'];
    if (str_ends_with($name, 'x')) {
        throw new KittenBites("$name bites");
    }
    return ['name' => $name, 'petted' => true, 'purr' => 'p' . str_repeat('r', iconv_strlen($name, 'UTF-8'))];
}
