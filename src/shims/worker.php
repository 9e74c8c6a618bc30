<?php
// The worker around a PHP handler.
//
// Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
// is answered before the next one starts. In batches the jobs up to an empty line are one call, which takes and returns
// lists, and whose answers are one write.
//
// A job's objects are arrays, and its integers beyond 64 bits are strings. The handler is given a second argument
// (progress, attempt, job) if it requires one or names it $context. Whatever it throws is the error of its job; exit()
// ends the worker. A result that JSON has no form for is an error that says where it sits. PHP cannot keep the two
// descriptors from the handler's children.

/** Any throwable in the form of the npm package serialize-error. */
final class ForkpoolErrors
{
    const DEPTH = 20; // levels of nested causes and values
    const TEXT = 100000; // bytes of one text
    const TOTAL = 1000000; // bytes of the whole error

    private $around = []; // the objects around the present one: to meet one of them again is a cycle
    private $left = self::TOTAL;

    static function json($error)
    {
        $flags = ForkpoolWorker::FLAGS | JSON_PARTIAL_OUTPUT_ON_ERROR;
        return json_encode((new self)->value($error), $flags & ~JSON_THROW_ON_ERROR);
    }

    private function text($string)
    {
        $most = max(0, min(self::TEXT, $this->left));
        $this->left -= min(strlen($string), $most);
        if (strlen($string) > $most) {
            $string = substr($string, 0, $most) . "\u{2026}";
        }
        // What is no UTF-8, such as half a character at the cut, is replaced.
        return json_decode(json_encode($string, JSON_INVALID_UTF8_SUBSTITUTE));
    }

    private function value($any)
    {
        $this->left -= 8; // numbers and brackets count as well
        if (is_string($any)) {
            return $this->text($any);
        }
        if (is_float($any) && !is_finite($any)) {
            return null;
        }
        if (is_resource($any)) {
            return '[object ' . get_resource_type($any) . ']';
        }
        if (!is_array($any) && !is_object($any)) {
            return $any;
        }
        if (is_object($any) && in_array($any, $this->around, true)) {
            return '[Circular]';
        }
        if (count($this->around) >= self::DEPTH) {
            return '[Too deep]';
        }
        $this->around[] = is_object($any) ? $any : null;
        try {
            return $this->members($any);
        } catch (Throwable $e) {
            return '[Throws]';
        } finally {
            array_pop($this->around);
        }
    }

    private function members($any)
    {
        if ($any instanceof Throwable) {
            return $this->error($any);
        }
        if ($any instanceof JsonSerializable) {
            return $this->value($any->jsonSerialize());
        }
        $out = $this->fields(is_object($any) ? get_object_vars($any) : $any);
        return is_object($any) ? (object) $out : $out;
    }

    private function fields($fields)
    {
        $out = [];
        foreach ($fields as $key => $item) {
            if ($this->left <= 0) {
                break;
            }
            $out[is_string($key) ? $this->text($key) : $key] = $item instanceof Closure ? null : $this->value($item);
        }
        return $out;
    }

    private function error($error)
    {
        $name = get_class($error);
        // A class may make it anything, and getMessage fails then.
        $base = $error instanceof Exception ? Exception::class : Error::class;
        $message = (new ReflectionProperty($base, 'message'))->getValue($error);
        $message = is_string($message) ? $message : json_encode($this->value($message));
        // Without the frames of this program.
        $lines = ["#0 {$error->getFile()}({$error->getLine()})", ...explode("\n", $error->getTraceAsString())];
        $lines = preg_grep('/^#\d+ (?:Command line code|\{main\}|\[internal function\])/', $lines, PREG_GREP_INVERT);
        $stack = implode("\n", ["$name: $message", ...preg_replace('/^#\d+/', '    at', $lines)]);
        $out = ['name' => $this->text($name), 'message' => $this->text($message), 'stack' => $this->text($stack)];
        $fields = ['cause' => $error->getPrevious()] + get_object_vars($error);
        if ($error->getCode() !== 0) {
            $fields = ['code' => $error->getCode()] + $fields;
        }
        return $out + $this->fields(array_filter($fields, fn($item) => $item !== null));
    }
}

/** The handler's second argument. */
final class ForkpoolContext
{
    function __construct(public $job, public $attempt) {}

    static function of($job)
    {
        return new self($job['id'], $job['attempt'] ?? 1);
    }

    function progress($data)
    {
        $json = ForkpoolResult::encode($data);
        ForkpoolWorker::send("{\"id\":$this->job,\"status\":\"progress\",\"data\":$json}\n");
    }
}

/** Results as JSON. */
final class ForkpoolResult
{
    const QUIET = ForkpoolWorker::FLAGS & ~JSON_THROW_ON_ERROR;
    /** A line with an object that would come back as a list. */
    const AMBIGUOUS = '/\{\s*(?:\}|"0"\s*:)/';

    static function encode($data)
    {
        $json = json_encode($data, self::QUIET, ForkpoolWorker::NESTING);
        // An object that JSON has no form for is an empty one there.
        if ($json !== false && !str_contains($json, '{}')) {
            return $json;
        }
        $isDeep = in_array(json_last_error(), [JSON_ERROR_DEPTH, JSON_ERROR_RECURSION], true);
        $data = $isDeep ? $data : self::plain($data, '$', 0);
        return json_encode($data, ForkpoolWorker::FLAGS, ForkpoolWorker::NESTING);
    }

    /** With NaN and infinities as null. Throws an error that names the place of what JSON has no form for. */
    private static function plain($any, $path, $depth)
    {
        if (is_float($any)) {
            return is_finite($any) ? $any : null;
        }
        if (is_array($any)) {
            return self::items($any, $path, $depth);
        }
        if (is_object($any)) {
            return self::object($any, $path, $depth);
        }
        if (is_string($any) && !preg_match('//u', $any)) {
            throw new TypeError("$path: text that is no UTF-8");
        }
        return gettype($any) === 'NULL' || is_scalar($any) ? $any : self::refuse('resource', $path);
    }

    private static function items($items, $path, $depth)
    {
        if ($depth > ForkpoolWorker::NESTING) {
            throw new TypeError('the result is circular, or too deep for JSON');
        }
        $isList = array_is_list($items);
        foreach ($items as $key => $item) {
            $isName = !$isList && preg_match('/^\w+$/', $key);
            $step = $isName ? ".$key" : '[' . json_encode($key, JSON_INVALID_UTF8_SUBSTITUTE) . ']';
            $items[$key] = self::plain($item, $path . $step, $depth + 1);
        }
        return $items;
    }

    private static function object($any, $path, $depth)
    {
        if ($any instanceof JsonSerializable) {
            return self::plain($any->jsonSerialize(), $path, $depth + 1);
        }
        if ($any instanceof BackedEnum) {
            return $any->value;
        }
        $fields = get_object_vars($any);
        $isFormless = !$any instanceof stdClass && json_encode($any, JSON_PARTIAL_OUTPUT_ON_ERROR) === '{}';
        if ($any instanceof UnitEnum || $any instanceof Throwable || $isFormless) {
            return self::refuse(get_class($any), $path);
        }
        // Some of PHP's own, such as ArrayObject, have a form without having fields.
        return $fields || $any instanceof stdClass ? (object) self::items($fields, $path, $depth) : $any;
    }

    private static function refuse($kind, $path)
    {
        $article = preg_match('/^[aeiou]/i', $kind) ? 'an' : 'a';
        throw new TypeError("$path: $article $kind is no JSON");
    }

    /** The result with those arrays as objects that were objects at the same place of the job, with the same keys. */
    static function asItCame($result, $job, $shape)
    {
        if (!is_array($result) || !is_array($job)) {
            return $result;
        }
        foreach ($result as $key => $item) {
            if (is_array($item) && isset($job[$key])) {
                $result[$key] = self::asItCame($item, $job[$key], is_array($shape) ? $shape[$key] : $shape->{$key});
            }
        }
        return is_object($shape) && array_keys($result) === array_keys($job) ? (object) $result : $result;
    }
}

final class ForkpoolWorker
{
    const FLAGS = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;
    /** Levels of nesting in a job or a result. */
    const NESTING = 10000;

    static $ready = false;
    static $process; // a child that the handler forks is another
    private static $answered = 0; // when the last job was, in nanoseconds
    static $spec;
    static $returned; // by the file: it may be the handler
    static $isInInit = false; // the function of --init runs
    private static $out;

    static function send($line)
    {
        self::$out ??= fopen('php://fd/4', 'w');
        while (($sent = @fwrite(self::$out, $line)) !== strlen($line)) {
            if (!$sent) {
                self::$ready = true;
                exit(0); // nobody is there any more
            }
            $line = substr($line, $sent);
        }
    }

    static function fatal($error)
    {
        if (getmypid() !== self::$process) {
            self::leaveChild($error);
        }
        self::$ready = true;
        $status = self::$isInInit ? 'unstarted' : 'fatal';
        self::send("{\"status\":\"$status\",\"error\":" . ForkpoolErrors::json($error) . "}\n");
        exit(1);
    }

    private static function refuse($reason, $names)
    {
        throw new LogicException($names ? "$reason; there are: " . implode(', ', $names) : $reason);
    }

    /** The functions that the file itself defines, or returns in an array, by name. */
    private static function ownFunctions($file, $returned)
    {
        $own = is_array($returned) && !is_callable($returned) ? array_filter($returned, 'is_callable') : [];
        foreach (get_defined_functions()['user'] as $name) {
            $function = new ReflectionFunction($name);
            if ($function->getFileName() === $file && $function->getShortName()[0] !== '_') {
                $own[$function->getShortName()] = $name;
            }
        }
        return $own;
    }

    /** The callable as one of the whole job, whatever it takes itself. */
    private static function ofJob($callable)
    {
        $call = Closure::fromCallable($callable);
        $second = (new ReflectionFunction($call))->getParameters()[1] ?? null;
        if ($second && (!$second->isOptional() || $second->getName() === 'context')) {
            return fn($job) => $call($job['data'], $job['contexts'] ?? ForkpoolContext::of($job));
        }
        return fn($job) => $call($job['data']);
    }

    /** What has this name in the file and is to be called; null if there is no such thing. */
    private static function named($file, $name, $functions)
    {
        // Of this file or of another, which defines it for this one.
        if (isset($functions[$name]) || function_exists($name)) {
            return $functions[$name] ?? $name;
        }
        $variable = $GLOBALS[$name] ?? null;
        $reason = "$file: \$$name is of type " . get_debug_type($variable) . ', no function';
        $isFine = $variable === null || is_callable($variable);
        return $isFine ? $variable : self::refuse($reason, array_keys($functions));
    }

    /** What has this name in the file, or a refusal. */
    private static function found($file, $name, $functions)
    {
        $names = array_keys($functions);
        return self::named($file, $name, $functions) ?? self::refuse("$file has no function $name", $names);
    }

    /** Whether two callables are the same. PHP ignores the case of a function's name. */
    private static function areSame($a, $b)
    {
        return is_string($a) && is_string($b) ? strcasecmp($a, $b) === 0 : $a === $b;
    }

    /** What is named is used, or refused; a guess is only for a file that names nothing. */
    private static function choose($file, $named, $functions, $returned, $init)
    {
        $names = array_keys($functions);
        if ($named !== null) {
            return self::found($file, $named, $functions);
        }
        if (!is_int($returned) && is_callable($returned) && !self::areSame($returned, $init)) {
            return $returned;
        }
        $handler = self::named($file, 'handler', $functions);
        if ($handler !== null && !self::areSame($handler, $init)) {
            return $handler;
        }
        if (count($functions) !== 1) {
            self::refuse("$file has " . ($functions ? 'several functions' : 'no function'), $names);
        }
        return reset($functions);
    }

    /** With --route, the job's own choice among the file's functions. */
    private static function routed($functions, $route)
    {
        $functions = array_map(self::ofJob(...), $functions);
        return function ($job) use ($functions, $route) {
            $name = is_array($job['data']) ? $job['data'][$route] ?? null : null;
            $function = is_string($name) ? $functions[$name] ?? null : null;
            $function ??= self::refuse('no function to route ' . json_encode($name) . ' to', array_keys($functions));
            return $function($job);
        };
    }

    /** Serves until the input ends. */
    static function run($spec, $returned)
    {
        try {
            $file = $spec['file'];
            $functions = self::ownFunctions($file, $returned);
            $init = $spec['init'] === null ? null : self::found($file, $spec['init'], $functions);
            $functions = array_filter($functions, fn($callable) => !self::areSame($callable, $init));
            if ($spec['route'] === null) {
                $handler = self::ofJob(self::choose($file, $spec['function'], $functions, $returned, $init));
            } elseif ($functions) {
                $handler = self::routed($functions, $spec['route']);
            } else {
                self::refuse("$file has no function", []);
            }
        } catch (LogicException $e) {
            self::fatal($e);
        }
        if ($init !== null && $spec['calls_init']) {
            self::initialize($spec['init'], $init);
        }
        self::$ready = true;
        self::send("{\"status\":\"ready\"}\n");
        $in = fopen('php://fd/3', 'r');
        stream_set_chunk_size($in, 65536);
        $lines = [];
        while (($line = fgets($in)) !== false) {
            if (!$spec['batch']) {
                self::serve($handler, $line);
            } elseif ($line !== "\n") {
                $lines[] = $line;
            } else {
                self::serveBatch($handler, $lines);
                $lines = [];
            }
        }
    }

    private static function initialize($name, $init)
    {
        self::$isInInit = true;
        self::send('{"status":"init","data":' . json_encode($name) . "}\n");
        try {
            $init();
        } catch (Throwable $e) {
            self::fatal($e);
        }
        if (getmypid() !== self::$process) {
            self::leaveChild(null);
        }
    }

    private static function serve($handler, $line)
    {
        $error = null;
        try {
            $job = self::parsed($line);
            $reply = self::resultLine($job, $line, $handler($job));
        } catch (Throwable $error) {
            $reply = self::errorLine($line, $error);
        }
        // No fork is done within this time, and getpid for each short job would take a tenth of it.
        $now = hrtime(true);
        if ($now - self::$answered > 20000 && getmypid() !== self::$process) {
            self::leaveChild($error);
        }
        self::$answered = $now;
        self::send($reply);
    }

    private static function parsed($line)
    {
        return json_decode($line, true, self::NESTING, JSON_BIGINT_AS_STRING | JSON_THROW_ON_ERROR);
    }

    private static function resultLine($job, $line, $result)
    {
        $json = ForkpoolResult::encode($result);
        if (str_contains($json, '[') && preg_match(ForkpoolResult::AMBIGUOUS, $line)) {
            $shape = json_decode($line, false, self::NESTING);
            $json = ForkpoolResult::encode(ForkpoolResult::asItCame($result, $job['data'], $shape->data));
        }
        return "{\"id\":{$job['id']},\"status\":\"ok\",\"data\":$json}\n";
    }

    private static function errorLine($line, $error)
    {
        return '{"id":' . self::number($line) . ',"status":"error","error":' . ForkpoolErrors::json($error) . "}\n";
    }

    private static function number($line)
    {
        return substr($line, 6, strcspn($line, ',', 6)); // after {"id":
    }

    /** The jobs of these lines are one call. */
    private static function serveBatch($handler, $lines)
    {
        $error = null;
        try {
            $jobs = array_map(self::parsed(...), $lines);
            $contexts = array_map(ForkpoolContext::of(...), $jobs);
            $results = $handler(['data' => array_column($jobs, 'data'), 'contexts' => $contexts]);
            if (!is_array($results) || count($results) !== count($jobs)) {
                $kind = is_array($results) ? 'a list of ' . count($results) : 'no list but ' . get_debug_type($results);
                throw new TypeError("the handler returned $kind for a list of " . count($jobs));
            }
            $reply = implode('', array_map(self::answer(...), $jobs, $lines, $results));
        } catch (Throwable $error) {
            $again = fn($line) => '{"id":' . self::number($line) . ",\"status\":\"again\"}\n";
            $reply = isset($lines[1]) ? implode('', array_map($again, $lines)) : self::errorLine($lines[0], $error);
        }
        if (getmypid() !== self::$process) {
            self::leaveChild($error);
        }
        self::send($reply);
    }

    /** The reply to one job of a batch. A throwable among the results is the error of its job. */
    private static function answer($job, $line, $result)
    {
        try {
            return $result instanceof Throwable ? self::errorLine($line, $result) : self::resultLine($job, $line, $result);
        } catch (Throwable $error) {
            return self::errorLine($line, $error);
        }
    }

    /** Ends a child that the handler has forked, which must not answer for its parent nor take a job of its own. */
    static function leaveChild($error)
    {
        if ($error) {
            fwrite(STDERR, "$error\n");
        }
        exit($error ? 255 : 0);
    }
}

// An end while the file is loaded: exit(), or an error that PHP does not let anybody catch.
register_shutdown_function(function () {
    if (!ForkpoolWorker::$ready && getmypid() === ForkpoolWorker::$process) {
        $when = ForkpoolWorker::$isInInit ? 'ran' : 'was loaded';
        $exit = ['message' => "it ended the process while it $when", 'file' => '', 'line' => 0];
        $last = error_get_last() ?? $exit;
        ForkpoolWorker::fatal(new ErrorException($last['message'], 0, E_ERROR, $last['file'], $last['line']));
    }
});
if (function_exists('pcntl_signal')) {
    // forkpool says when to end. (Children of the handler do not inherit this.)
    pcntl_signal(SIGINT, fn() => null);
}
ForkpoolWorker::$process = getmypid();
ForkpoolWorker::$spec = json_decode($argv[1], true);
// The file is not the program: a guard finds another name among the arguments, and another file that came first.
$_SERVER['argv'] = $argv = [$argv[0]];
$_SERVER['argc'] = $argc = 1;
require 'php://memory';
ForkpoolWorker::send("{\"status\":\"loading\",\"data\":\"the file of the handler\"}\n");
try {
    // Here and in no function, so that the file's variables are global ones.
    ForkpoolWorker::$returned = require ForkpoolWorker::$spec['file'];
} catch (Throwable $e) {
    ForkpoolWorker::fatal($e);
}
ForkpoolWorker::run(ForkpoolWorker::$spec, ForkpoolWorker::$returned);
