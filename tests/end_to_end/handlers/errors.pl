# Dies of the cases of errors.json.
use strict;
use warnings;
use utf8;
use JSON::PP ();

package KittenBites {
    sub new { my ($class, $message, %fields) = @_; return bless { message => $message, %fields }, $class }
}
package Formed { our @ISA = 'KittenBites'; sub TO_JSON { die "no\n" } }
package KittensBite { our @ISA = 'KittenBites' }
package Secret { sub TO_JSON { die "no\n" } }

my $mute = sub { my $error = KittenBites->new('unused'); delete $error->{message}; $error };

sub _bites { return KittenBites->new(@_) }

sub _cycle {
    my $error = _bites('round');
    @$error{qw(self collar)} = ($error, { of => $error });
    return $error;
}

sub _twice {
    my $collar = { bells => 1 };
    return _bites('Tom bites', first => $collar, second => $collar);
}

sub _deep_chain {
    my $error = _bites('deep');
    $error = _bites('deep', cause => $error) for 1 .. 4999;
    return $error;
}

my %cases = (
    plain => sub { _bites('Tom bites') },
    empty_message => sub { _bites('') },
    unicode => sub { _bites(qq(Jürgen \x{1f43e} "bites"\n\0)) },
    code => sub { _bites('Tom bites', code => 'E_TEETH') },
    own_fields => sub { _bites('Tom bites', paws => 4, collar => { bells => [1, 'two', JSON::PP::true, undef] }) },
    retry_advice => sub { _bites('later', retryable => JSON::PP::false, retry_after => 2.5) },
    cause_chain => sub { _bites('outer', cause => _bites('middle', cause => _bites('inner'))) },
    error_in_a_field => sub { _bites('Tom bites', victim => _bites('ouch')) },
    aggregate => sub { KittensBite->new('all bite', errors => [_bites('one'), _bites('two')]) },
    cycle => \&_cycle,
    twice_is_no_cycle => \&_twice,
    deep_chain => \&_deep_chain,
    throwing_field => sub { _bites('Tom bites', teeth => bless({}, 'Secret'), paws => 4) },
    odd_message => sub { _bites({ f => 1 }, status => 422) },
    throwing_own_form => sub { Formed->new('Tom bites', status => 422) },
    line => sub { "boom\n" },
    list => sub { [1, 'two'] },
    object => sub { { message => 'no error', paws => 4 } },
    large => sub { _bites('m' x 1_000_000, list => [('x' x 100) x 100_000]) },
);

sub handler {
    my ($job) = @_;
    die $cases{$job->{name}}->();
}

1;
