# A handler, one plain function: forkpool --handler samples/handlers/pet.pl -i samples/names.csv
use strict;
use warnings;
use JSON::PP ();

sub pet_kitten {
    my ($kitten) = @_;
    my $name = $kitten->{name};
    die { name => 'KittenBites', message => "$name bites", code => 'E_TEETH' } if $name =~ /x\z/;
    return { name => $name, petted => JSON::PP::true, purr => 'p' . 'r' x length $name };
}

1;
