<?php // What the tests have a handler do, by the job's `do`.
function _print()
{
    echo '{"id":1,"status":"ok","data":"not from the worker"}', "\n", 'no line';
    passthru('echo from a child >&2');
    return 'printed';
}

function _context($context)
{
    $context->progress(['half' => true]);
    return ['number' => $context->job, 'attempt' => $context->attempt];
}

function _circular()
{
    $result = new stdClass;
    $result->result = $result;
    return $result;
}

function handler($job, $context)
{
    return match ($job['do']) {
        'echo' => $job,
        'print' => _print(),
        'context' => _context($context),
        'fail' => throw new TypeError('it fails'),
        'not_json' => ['weight' => STDERR],
        'circular' => _circular(),
        'nothing', 'linger' => null,
        'text' => str_repeat('x', $job['size']),
        'note' => file_put_contents($job['file'], $job['text'], FILE_APPEND),
        'end' => exit(3),
    };
}
