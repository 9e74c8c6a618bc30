# A worker in Perl, to start from: forkpool -i samples/names.csv -- perl samples/workers/worker.pl
use strict; use warnings;
use IO::Handle; use JSON::PP;

open(my $out, '>&', \*STDOUT) or die $!;
open(STDOUT, '>&', \*STDERR) or die $!; # stray output to stderr
$out->autoflush(1);
my $json = JSON::PP->new->utf8->canonical;
sub reply { print $out $json->encode($_[0]), "\n" }

sub pet_kitten {
    my $name = $_[0]{name};
    die "$name bites\n" if $name =~ /x\z/;
    return { name => $name, petted => JSON::PP::true };
}

reply({ status => 'ready' }); # optional: says that all is loaded
while (my $line = <STDIN>) {
    next unless $line =~ /\S/;
    my $job = $json->decode($line);
    my $data = eval { pet_kitten($job->{data}) };
    if ($data) { reply({ id => $job->{id}, status => 'ok', data => $data }) }
    else { chomp(my $m = $@); reply({ id => $job->{id}, status => 'error', error => { name => 'Error', message => $m } }) }
}
