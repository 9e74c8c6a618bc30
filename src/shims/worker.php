<?php
// The worker around a PHP handler.
//
// Jobs come in on descriptor 3 and replies go out on 4, so whatever the handler prints cannot damage them. Each job
// is answered before the next one starts.
//
// A job's objects are arrays (so an empty object comes back as an empty array), and its integers beyond 64 bits are
// strings. The handler is given a second argument (progress, attempt, job) if it requires one or names it $context.
// Whatever it throws is the error of its job; exit() ends the worker. PHP cannot keep the two descriptors from the
// handler's children.

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
            $string = substr($string, 0, $most) . '…';
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
        $message = $error->getMessage();
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

    function progress($data)
    {
        $json = ForkpoolWorker::encode($data);
        ForkpoolWorker::send("{\"id\":$this->job,\"status\":\"progress\",\"data\":$json}");
    }
}

final class ForkpoolWorker
{
    const FLAGS = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;
    /** Levels of nesting in a job or a result. */
    const NESTING = 10000;

    static $ready = false;
    private static $out;

    static function encode($data)
    {
        return json_encode($data, self::FLAGS, self::NESTING);
    }

    static function send($line)
    {
        self::$out ??= fopen('php://fd/4', 'w');
        for ($line .= "\n"; $line !== ''; $line = substr($line, $sent)) {
            $sent = @fwrite(self::$out, $line);
            if (!$sent) {
                self::$ready = true;
                exit(0); // nobody is there any more
            }
            if ($sent === strlen($line)) {
                return;
            }
        }
    }

    static function fatal($error)
    {
        self::$ready = true;
        self::send('{"status":"fatal","error":' . ForkpoolErrors::json($error) . '}');
        exit(1);
    }

    private static function refuse($reason, $names)
    {
        throw new LogicException($names ? "$reason; there are: " . implode(', ', $names) : $reason);
    }

    /** The functions that the file itself defines, by name. */
    private static function ownFunctions($file)
    {
        $own = [];
        foreach (get_defined_functions()['user'] as $name) {
            $function = new ReflectionFunction($name);
            if ($function->getFileName() === $file && $function->getShortName()[0] !== '_') {
                $own[$function->getShortName()] = self::withContext($function);
            }
        }
        return $own;
    }

    /** The function as one of (data, context), whatever it takes itself. */
    private static function withContext($function)
    {
        $second = $function->getParameters()[1] ?? null;
        $call = $function->getClosure();
        if ($second && (!$second->isOptional() || $second->getName() === 'context')) {
            return $call;
        }
        return fn($data, $context) => $call($data);
    }

    private static function choose($file, $named, $functions, $returned)
    {
        $names = array_keys($functions);
        if ($named !== null) {
            return $functions[$named] ?? self::refuse("$file has no function $named", $names);
        }
        if ($returned instanceof Closure) {
            return self::withContext(new ReflectionFunction($returned));
        }
        if (!$functions) {
            self::refuse("$file has no function", []);
        }
        $only = count($functions) === 1 ? reset($functions) : null;
        return $functions['handler'] ?? $only ?? self::refuse("$file has several functions", $names);
    }

    /** With --route, the job's own choice among the file's functions. */
    private static function routed($functions, $route)
    {
        return function ($data, $context) use ($functions, $route) {
            $name = is_array($data) ? $data[$route] ?? null : null;
            $function = is_string($name) ? $functions[$name] ?? null : null;
            $function ??= self::refuse('no function to route ' . json_encode($name) . ' to', array_keys($functions));
            return $function($data, $context);
        };
    }

    /** What the file returned may be the handler itself. */
    static function run($spec, $returned)
    {
        try {
            $functions = self::ownFunctions($spec['file']);
            if ($spec['route'] === null) {
                $handler = self::choose($spec['file'], $spec['function'], $functions, $returned);
            } elseif ($functions) {
                $handler = self::routed($functions, $spec['route']);
            } else {
                self::refuse("{$spec['file']} has no function", []);
            }
        } catch (LogicException $e) {
            self::fatal($e);
        }
        self::$ready = true;
        self::send('{"status":"ready"}');
        $in = fopen('php://fd/3', 'r');
        stream_set_chunk_size($in, 65536);
        while (($line = fgets($in)) !== false) {
            self::serve($handler, $line);
        }
    }

    private static function serve($handler, $line)
    {
        try {
            $id = substr($line, 6, strcspn($line, ',', 6)); // after {"id":
            $job = json_decode($line, true, self::NESTING, JSON_BIGINT_AS_STRING | JSON_THROW_ON_ERROR);
            $result = $handler($job['data'], new ForkpoolContext($job['id'], $job['attempt'] ?? 1));
            $reply = '"status":"ok","data":' . self::encode($result);
        } catch (Throwable $e) {
            $reply = '"status":"error","error":' . ForkpoolErrors::json($e);
        }
        self::send("{\"id\":$id,$reply}");
    }
}

// An end while the file is loaded: exit(), or an error that PHP does not let anybody catch.
register_shutdown_function(function () {
    if (!ForkpoolWorker::$ready) {
        $exit = ['message' => 'it ended the process while it was loaded', 'file' => '', 'line' => 0];
        $last = error_get_last() ?? $exit;
        ForkpoolWorker::fatal(new ErrorException($last['message'], 0, E_ERROR, $last['file'], $last['line']));
    }
});
if (function_exists('pcntl_signal')) {
    // forkpool says when to end. (Children of the handler do not inherit this.)
    pcntl_signal(SIGINT, fn() => null);
}
$argv = [json_decode($argv[1], true)];
try {
    // Here and in no function, so that the file's variables are global ones.
    $argv[] = require $argv[0]['file'];
} catch (Throwable $e) {
    ForkpoolWorker::fatal($e);
}
ForkpoolWorker::run(...$argv);
