<?php
// Functions for --init, and a handler that shows what they have done.
$calls = 0;
$slot = null;

function connect()
{
    global $calls, $slot;
    $calls += 1;
    $slot = getenv('FORKPOOL_SLOT');
}

function refuse()
{
    throw new RuntimeException('no database');
}

function refuse_once()
{
    if (file_exists('refused')) {
        return;
    }
    touch('refused');
    refuse();
}

function leave()
{
    exit(3);
}

function handler($job)
{
    global $calls, $slot;
    return ['calls' => $calls, 'slot' => $slot];
}
