# The worker around a Perl handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
# is answered before the next one starts.
#
# The handler is given a second argument (progress, attempt, job), unless its signature has only one. Whatever it dies
# of is the error of its job; exit ends the worker. Integers beyond 64 bits are strings.
package ForkpoolWorker;
use strict;
use warnings;
use B ();
use Errno ();
use Fcntl qw(F_SETFD FD_CLOEXEC);
use POSIX ();
use Scalar::Util qw(blessed looks_like_number refaddr reftype);

# JSON::PP is always there; the others are ten times as fast.
my ($json_class) = grep { eval "require $_; 1" } qw(Cpanel::JSON::XS JSON::XS JSON::PP);
my $nesting = 10_000;    # levels in a job or a result
my $json = $json_class->new->utf8->allow_nonref->canonical->max_depth($nesting);

# --- errors, in the form of the npm package serialize-error

my $deepest = 20;            # levels of nested causes and values
my $longest = 100_000;       # characters of one text
my $total   = 1_000_000;     # characters of the whole error
my ($left, @around);         # @around: the objects around the present one; to meet one of them again is a cycle

sub error_json {
    my ($error) = @_;
    ($left, @around) = ($total);
    my $value = ref $error ? value($error) : text_error("$error");
    return eval { $json->encode($value) } // '{"name":"Error","message":"cannot be shown"}';
}

# `die TEXT`: the place that Perl adds to it belongs to the stack.
sub text_error {
    my ($whole) = @_;
    my $message = $whole =~ s/ at \S.* line \d+(?:, <[^>]*> (?:line|chunk) \d+)?\.?\n\z//r;
    chomp $message;
    chomp $whole;
    $whole = $message if $whole =~ / at -e line \d+/;    # this program
    return { name => 'Error', message => text($message), stack => text($whole) };
}

sub text {
    my ($string) = @_;
    my $most = $left < 0 ? 0 : $left < $longest ? $left : $longest;
    my $cut = length $string > $most ? substr($string, 0, $most) . "\x{2026}" : $string;
    $left -= length $cut;
    return $cut;
}

sub value {
    my ($any) = @_;
    $left -= 8;    # numbers and brackets count as well
    return $any if !defined $any;
    if (!ref $any) {
        my $is_number = looks_like_number($any) && $any eq ($any + 0 // '') && $any !~ /[nN]/;
        return $is_number ? $any + 0 : text($any);
    }
    return $any if blessed $any && $any->isa('JSON::PP::Boolean');
    return undef if !blessed $any && reftype $any !~ /^(?:HASH|ARRAY)$/;
    return '[Circular]' if grep { $_ == refaddr $any } @around;
    return '[Too deep]' if @around >= $deepest;
    push @around, refaddr $any;
    my $out = eval { local $SIG{__DIE__}; members($any) };
    $out = '[Throws]' if $@;
    pop @around;
    return $out;
}

sub members {
    my ($any) = @_;
    return value($any->TO_JSON) if blessed $any && $any->can('TO_JSON');
    if (reftype $any eq 'ARRAY') {
        return [map { $left > 0 ? value($_) : () } @$any];
    }
    my %out;
    if (blessed $any) {
        %out = (name => ref $any, message => text(message($any)), stack => '');
        my $trace = $any->can('trace');
        $out{stack} = text(join "\n", $out{message}, $trace ? eval { '' . $any->trace } // () : ());
    }
    if (reftype $any eq 'HASH') {
        for my $key (sort keys %$any) {
            last if $left <= 0;
            next if exists $out{$key} || ref $any->{$key} eq 'CODE';
            my $name = text($key);
            $out{$name} = value($any->{$key});
        }
    }
    return \%out;
}

# Of an exception object: its method, its field, or what it is as a string.
sub message {
    my ($any) = @_;
    my $message = eval {
        local $SIG{__DIE__};
        $any->can('message') ? $any->message : (reftype $any eq 'HASH' ? $any->{message} : undef) // "$any";
    };
    return defined $message ? "$message" : '[Throws]';
}

# --- replies

open my $in,  '<&=', 3 or die "descriptor 3: $!";
open my $out, '>&=', 4 or die "descriptor 4: $!";
fcntl $_, F_SETFD, FD_CLOEXEC for $in, $out;    # not in a handler's children

sub send_line {
    my $line = "$_[0]\n";
    my $at = 0;
    while ($at < length $line) {
        my $sent = syswrite $out, $line, length($line) - $at, $at;
        if (defined $sent) { $at += $sent }
        elsif (!$!{EINTR}) { POSIX::_exit(0) }    # nobody is there any more
    }
}

# nan and inf come out bare, as no JSON at all: what looks like one is read again.
sub encode {
    my $text = $json->encode($_[0]);
    if ($text =~ /(?:^|[:,\[])[+-]?(?:nan|inf)/i) {
        eval { $json->decode($text); 1 } or die "the result holds NaN or infinity, which are no JSON\n";
    }
    return $text;
}

my $ready;

sub fatal {
    $ready = 1;
    send_line('{"status":"fatal","error":' . error_json($_[0]) . '}');
    POSIX::_exit(1);
}

# --- the handler

sub refuse {
    my ($reason, @names) = @_;
    die { name => 'Error', message => @names ? "$reason; there are: " . join(', ', @names) : $reason };
}

# The subs of package main that the file itself defines, by name; imported ones belong elsewhere.
sub own_functions {
    no strict 'refs';
    my %own;
    for my $name (grep { /^[a-zA-Z]\w*\z/ && defined &{"main::$_"} } keys %main::) {
        my $code = \&{"main::$name"};
        my $glob = B::svref_2object($code)->GV;
        next if !$glob->isa('B::GV') || $glob->STASH->NAME ne 'main' || $glob->NAME ne $name;
        $own{$name} = with_context($code);
    }
    return %own;
}

# A signature with one parameter refuses a second argument.
sub with_context {
    my ($code) = @_;
    for (my $op = B::svref_2object($code)->START; $$op && $op->name ne 'leavesub'; $op = $op->next) {
        next if $op->name ne 'argcheck';
        my ($most, undef, $slurpy) = $op->aux_list(B::svref_2object($code));
        return sub { $code->($_[0]) } if $most < 2 && !$slurpy;
        last;
    }
    return $code;
}

sub choose {
    my ($file, $named, $returned, %own) = @_;
    my @names = sort keys %own;
    return $own{$named} // refuse("$file has no function $named", @names) if defined $named;
    return with_context($returned) if ref $returned eq 'CODE';
    refuse("$file has no function") if !@names;
    return $own{handler} // $own{$names[0]} if $own{handler} || @names == 1;
    refuse("$file has several functions", @names);
}

# With --route, the job's own choice among the file's functions.
sub routed {
    my ($route, %own) = @_;
    return sub {
        my $name = ref $_[0] eq 'HASH' ? $_[0]{$route} : undef;
        my $code = defined $name && !ref $name ? $own{$name} : undef;
        $code //= refuse('no function to route ' . $json->encode($name) . ' to', sort keys %own);
        return $code->(@_);
    };
}

sub handler {
    my ($spec) = @_;
    my $file = $0 = $spec->{file};
    my $returned = do { package main; do $file };
    die $@ if ref $@ || $@ ne '';
    my %own = own_functions();
    return choose($file, $spec->{function}, $returned, %own) if !defined $spec->{route};
    refuse("$file has no function") if !%own;
    return routed($spec->{route}, %own);
}

# --- jobs

# The handler's second argument.
sub progress {
    my ($self, $data) = @_;
    send_line("{\"id\":$self->{job},\"status\":\"progress\",\"data\":" . encode($data) . '}');
}
sub job { $_[0]{job} + 0 }    # a number even after progress wrote it into a string
sub attempt { $_[0]{attempt} }

sub serve {
    my ($handler, $line) = @_;
    my ($id) = $line =~ /^{"id":(\d+)/;
    my $reply;
    eval {
        my $job = $json->decode($line);
        my $context = bless { job => $id + 0, attempt => $job->{attempt} // 1 }, __PACKAGE__;
        my $result = $handler->($job->{data}, $context);
        $reply = '"status":"ok","data":' . encode($result);
        1;
    } or $reply = '"status":"error","error":' . error_json($@);
    send_line("{\"id\":$id,$reply}");
}

sub run {
    my $spec = $json->decode(shift @ARGV);
    $| = 1;
    $SIG{INT} = sub { };    # forkpool says when to end; children of the handler do not inherit this
    my $handler = eval { handler($spec) } // fatal($@);
    $ready = 1;
    send_line('{"status":"ready"}');
    my ($begun, $read) = ('');
    while (($read = sysread $in, my $piece, 65536) || (!defined $read && $!{EINTR})) {
        next if !$read;
        my ($first, @lines) = split /\n/, $piece, -1;
        $begun .= $first;
        for my $line (@lines) {
            serve($handler, $begun);
            $begun = $line;
        }
    }
}

END {
    fatal("it ended the process (exit status $?) while it was loaded\n") if !$ready;
}

run();
