# Functions for --init, and a handler that shows what they have done.
use strict;
use warnings;

my ($calls, $slot) = (0);

sub connect {
    $calls++;
    $slot = $ENV{FORKPOOL_SLOT};
}

sub refuse { die "no database\n" }

sub refuse_once {
    return if -e 'refused';
    open my $file, '>', 'refused' or die $!;
    refuse();
}

sub leave { exit 3 }

sub handler { return { calls => $calls, slot => $slot } }

1;
