# What the tests have a handler do, by the job's `do`.
use strict;
use warnings;
use JSON::PP ();

my %acts = (
    echo => sub { $_[0] },
    print => sub {
        print qq({"id":1,"status":"ok","data":"not from the worker"}\n), 'no line';
        system 'echo from a child';
        'printed';
    },
    context => sub {
        my (undef, $context) = @_;
        $context->progress({ half => JSON::PP::true() });
        return { number => $context->job, attempt => $context->attempt };
    },
    fail => sub { die { name => 'TypeError', message => 'it fails' } },
    not_json => sub { { weight => sub { } } },
    circular => sub { my $result = {}; $result->{result} = $result },
    nothing => sub { undef },
    linger => sub { undef },
    text => sub { 'x' x $_[0]{size} },
    note => sub {
        open my $file, '>>', $_[0]{file} or die $!;
        print $file $_[0]{text};
        close $file;
    },
    end => sub { exit 3 },
    child_descriptors => sub { [split ' ', `ls /proc/self/fd`] },
);

sub handler {
    my ($job, $context) = @_;
    return $acts{$job->{do}}->($job, $context);
}

1;
