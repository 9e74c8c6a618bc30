<?php // A worker in PHP, to start from: forkpool -i samples/names.csv -- php samples/workers/worker.php
ini_set('display_errors', 'stderr');
ob_start(function ($text) { fwrite(STDERR, $text); return ''; }, 1); // stray output to stderr

function reply($message)
{
    fwrite(STDOUT, json_encode($message, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR) . "\n"); // STDOUT has no buffer
}

function pet_kitten($kitten)
{
    if (str_ends_with($kitten->name, 'x')) throw new DomainException("$kitten->name bites");
    return ['name' => $kitten->name, 'petted' => true];
}

reply(['status' => 'ready']); // optional: says that all is loaded
while (($line = fgets(STDIN)) !== false) {
    if (trim($line) === '') continue;
    $job = json_decode($line);
    try {
        reply(['id' => $job->id, 'status' => 'ok', 'data' => pet_kitten($job->data)]);
    } catch (Throwable $e) {
        reply(['id' => $job->id, 'status' => 'error', 'error' => ['name' => $e::class, 'message' => $e->getMessage()]]);
    }
}
