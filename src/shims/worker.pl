# The worker around a Perl handler.
#
# Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
# is answered before the next one starts. In batches the jobs up to an empty line are one call, which takes and returns
# lists, and whose answers are one write.
#
# The handler is given a second argument (progress, attempt, job), unless its signature has only one. Whatever it dies
# of is the error of its job; exit ends the worker. Integers beyond 64 bits are strings. A result that JSON has no form
# for is an error that says where it sits.
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
# This class would also make a text of every object that has one, such as a big number, and null of some. Without it an
# object takes the careful way, which is the same for all classes.
$json->convert_blessed if $json_class ne 'Cpanel::JSON::XS';
my $process = $$;    # a child that the handler forks is another

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
    if (blessed $any && $any->can('TO_JSON')) {
        my $plainer = eval { $any->TO_JSON };
        return value($plainer) if !$@;
        die $@ if @around > 1;    # the error itself has a message all the same
    }
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
    return '[Throws]' if !defined $message;
    return ref $message && !blessed $message ? $json->encode(value($message)) : "$message";
}

# --- replies

open my $in,  '<&=', 3 or die "descriptor 3: $!";
open my $out, '>&=', 4 or die "descriptor 4: $!";
binmode $_ for $in, $out;                        # PERL_UNICODE may have made them text
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

my ($ready, $in_init);    # $in_init: the function of --init runs

sub fatal {
    die $_[0] if $$ != $process;    # a child, which ends by itself
    $ready = 1;
    my $status = $in_init ? 'unstarted' : 'fatal';
    send_line("{\"status\":\"$status\",\"error\":" . error_json($_[0]) . '}');
    POSIX::_exit(1);
}

# --- results

# A result as JSON. nan and inf come out bare, as no JSON at all; what looks like one is written with care.
sub encode {
    my ($result) = @_;
    my $text = eval { $json->encode($result) };
    # The second pattern takes ten times as long as the first.
    return $text if defined $text && ($text !~ /nan|inf|NaN|Inf/ || $text !~ /(?:^|[:,\[])[+-]?(?:nan|inf)/i);
    die $@ if !defined $text && $@ =~ /nesting|depth/;
    return with_care($result, '$', 0);
}

# The same, some ten times slower: with all digits of a number, null for NaN and infinities, and an error that names the
# place of what JSON has no form for.
sub with_care {
    my ($any, $path, $depth) = @_;
    die "the result is circular, or too deep for JSON\n" if $depth > $nesting;
    return scalar_text($any, $path) if !ref $any;
    if (blessed $any) {
        return with_care($any->TO_JSON, $path, $depth + 1) if $any->can('TO_JSON');
        return $json->encode($any) if grep { $any->isa($_) } qw(JSON::PP::Boolean Types::Serialiser::BooleanBase);
        refuse_value(ref $any, $path) if !$any->isa('Math::BigInt') && !$any->isa('Math::BigFloat');
        return $any->is_nan || $any->is_inf ? 'null' : $any->bstr;
    }
    if (ref $any eq 'ARRAY') {
        my @items = map { with_care($any->[$_], "$path\[$_]", $depth + 1) } 0 .. $#$any;
        return '[' . join(',', @items) . ']';
    }
    if (ref $any eq 'HASH') {
        my @fields = map {
            my $key = $json->encode("$_");
            $key . ':' . with_care($any->{$_}, $path . (/^\w+\z/a ? ".$_" : "[$key]"), $depth + 1);
        } sort keys %$any;
        return '{' . join(',', @fields) . '}';
    }
    # JSON's references to 0 and 1, which are false and true.
    return (ref $any eq 'SCALAR' && eval { $json->encode($any) }) || refuse_value(ref($any) . ' reference', $path);
}

sub scalar_text {
    my ($any, $path) = @_;
    my $flags = B::svref_2object(\$any)->FLAGS;
    my $is_float = $flags & B::SVf_NOK && !($flags & (B::SVf_IOK | B::SVf_POK));
    return eval { $json->encode($any) } // refuse_value(lc ref \$any, $path) if !$is_float;
    return 'null' if $any - $any != 0;
    my ($digits) = grep { $_ == $any } map { sprintf "%.${_}g", $any } 15, 16, 17;
    return $digits;
}

sub refuse_value {
    my ($kind, $path) = @_;
    die "$path: ", ($kind =~ /^[aeiou]/i ? 'an' : 'a'), " $kind is no JSON\n";
}

# --- the handler

sub refuse {
    my ($reason, @names) = @_;
    die { name => 'Error', message => @names ? "$reason; there are: " . join(', ', @names) : $reason };
}

# The subs of package main that the file itself defines, by name; imported ones and constants are none.
sub own_functions {
    my ($file) = @_;
    no strict 'refs';
    my %own;
    for my $name (grep { /^[a-zA-Z]\w*\z/ && defined &{"main::$_"} } keys %main::) {
        my $code = \&{"main::$name"};
        my $sub = B::svref_2object($code);
        $own{$name} = $code if ($sub->FILE // '') eq $file && !($sub->CvFLAGS & B::CVf_CONST);
    }
    return %own;
}

# What the file has under this name: a sub, wherever it was defined, or else a reference to one in a variable.
sub named {
    my ($name) = @_;
    no strict 'refs';
    return $name !~ /^\w+\z/ ? undef : defined &{"main::$name"} ? \&{"main::$name"} : code(${"main::$name"});
}

# An object may be called as well, if it is one of code or overloads the call.
sub code {
    my ($any) = @_;
    return ref $any ? eval { \&$any } : undef;
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

# What is named is used, or refused; a guess is only for a file that names nothing.
sub choose {
    my ($file, $named, $returned, $init, %own) = @_;
    my @names = sort keys %own;
    return named($named) // refuse("$file has no function $named", @names) if defined $named;
    my ($chosen) = grep { $_ && !is_same($_, $init) } code($returned), named('handler');
    return $chosen if $chosen;
    my %different = map { refaddr $_ => $_ } values %own;
    return (values %different)[0] if keys %different == 1;
    refuse("$file has " . (@names ? 'several functions' : 'no function'), @names);
}

# With --route, the job's own choice among the file's functions.
sub routed {
    my ($route, %own) = @_;
    $_ = with_context($_) for values %own;
    return sub {
        my $name = ref $_[0] eq 'HASH' ? $_[0]{$route} : undef;
        my $code = defined $name && !ref $name ? $own{$name} : undef;
        $code //= refuse('no function to route ' . $json->encode($name) . ' to', sort keys %own);
        return $code->(@_);
    };
}

sub is_same {
    my ($code, $other) = @_;
    return $other && refaddr $code == refaddr $other;
}

# The handler, and the function of --init.
sub load {
    my ($spec) = @_;
    my $file = $spec->{file};
    utf8::encode($file);    # the name of a file is bytes
    {
        # The file is not the program, or its main guard would fire; but its folder is what FindBin finds.
        local $0 = $file;
        require FindBin;
    }
    my $returned = do { package main; do $file };
    die $@ if ref $@ || $@ ne '';
    my %own = own_functions($file);
    my ($name, $init) = $spec->{init};
    $init = named($name) // refuse("$file has no function $name", sort keys %own) if defined $name;
    delete @own{grep { is_same($own{$_}, $init) } keys %own};
    return (with_context(choose($file, $spec->{function}, $returned, $init, %own)), $init) if !defined $spec->{route};
    refuse("$file has no function") if !%own;
    return (routed($spec->{route}, %own), $init);
}

sub call_init {
    my ($name, $init) = @_;
    $in_init = 1;
    send_line('{"status":"init","data":' . $json->encode($name) . '}');
    eval { $init->(); 1 } or fatal($@);
    exit if $$ != $process;    # a child that it has forked has come back
}

# --- jobs

# The handler's second argument: the job's number and its attempt.
sub progress {
    my ($self, $data) = @_;
    my $id = $self->[0];    # a copy, since what has been part of a text may be a text in JSON ever after
    send_line("{\"id\":$id,\"status\":\"progress\",\"data\":" . encode($data) . '}');
}
sub job { $_[0][0] }
sub attempt { $_[0][1] }

sub serve {
    my ($handler, $line) = @_;
    my ($id, $reply);
    eval {
        my $job = $json->decode($line);
        $id = $job->{id};
        my $result = $handler->($job->{data}, context($job));
        exit if $$ != $process;    # a child that the handler forked has come back, and is no second worker
        $reply = ok_reply($line, $result);
        1;
    } or do {
        die $@ if $$ != $process;    # a child ends as Perl ends
        $reply = '"status":"error","error":' . error_json($@);
        $id //= number($line);
    };
    send_line("{\"id\":$id,$reply}");
}

sub context {
    my ($job) = @_;
    return bless [$job->{id}, $job->{attempt} // 1], __PACKAGE__;
}

sub number {
    my ($line) = @_;
    return $line =~ /^{"id":(\d+)/ && $1;
}

sub ok_reply {
    my ($line, $result) = @_;
    # What came with more digits than Perl shows goes out with them.
    my $data = index($line, '.') >= 0 && $line =~ /\d[\d.]{15}/ ? with_care($result, '$', 0) : encode($result);
    return '"status":"ok","data":' . $data;
}

# The jobs of these lines are one call.
sub serve_batch {
    my ($handler, @lines) = @_;
    my @replies;
    eval {
        my @jobs = map { $json->decode($_) } @lines;
        my $results = $handler->([map { $_->{data} } @jobs], [map { context($_) } @jobs]);
        exit if $$ != $process;    # as in serve
        my $kind = ref $results eq 'ARRAY' ? 'a list of ' . @$results : 'no reference to a list';
        die "the handler returned $kind for a list of " . @jobs . "\n" if $kind ne 'a list of ' . @jobs;
        @replies = map { answer($lines[$_], $results->[$_]) } 0 .. $#lines;
        1;
    } or do {
        die $@ if $$ != $process;    # as in serve
        @replies = @lines == 1 ? '"status":"error","error":' . error_json($@) : ('"status":"again"') x @lines;
    };
    send_line(join "\n", map { '{"id":' . number($lines[$_]) . ",$replies[$_]}" } 0 .. $#lines);
}

# The reply to one job of a batch. An error among the results, known by its class, is the error of its job.
sub answer {
    my ($line, $result) = @_;
    my $is_error = blessed $result
        && (ref($result) =~ /(?:Error|Exception)\z/ || $result->can('throw') || $result->can('message'));
    my $reply = $is_error ? undef : eval { ok_reply($line, $result) };
    return $reply // '"status":"error","error":' . error_json($is_error ? $result : $@);
}

sub run {
    my $spec = shift @ARGV;
    utf8::encode($spec) if utf8::is_utf8($spec);    # PERL_UNICODE may have decoded it
    $spec = $json->decode($spec);
    $| = 1;
    $SIG{INT} = sub { };    # forkpool says when to end; children of the handler do not inherit this
    send_line('{"status":"loading","data":"the file of the handler"}');
    my ($handler, $init) = eval { load($spec) } or fatal($@);
    call_init($spec->{init}, $init) if $init && $spec->{calls_init};
    $ready = 1;
    send_line('{"status":"ready"}');
    my ($begun, $read, @batch) = ('');
    while (($read = sysread $in, my $piece, 65536) || (!defined $read && $!{EINTR})) {
        next if !$read;
        my ($first, @lines) = split /\n/, $piece, -1;
        $begun .= $first;
        for my $line (@lines) {
            if (!$spec->{batch}) { serve($handler, $begun) }
            elsif ($begun ne '') { push @batch, $begun }
            else                 { serve_batch($handler, splice @batch) }
            $begun = $line;
        }
    }
}

END {
    my $when = $in_init ? 'ran' : 'was loaded';
    fatal("it ended the process (exit status $?) while it $when\n") if !$ready && $$ == $process;
}

run();
