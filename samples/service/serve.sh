#!/bin/sh
# Answers the jobs that anybody writes into the FIFO `jobs` of this directory, one a line, until SIGTERM.
#   sh serve.sh HANDLER [OPTION...]      results are added to results.ndjson, what is said to people goes to stderr
# SIGUSR2 takes over an edited handler: workers are replaced one at a time.
set -eu
handler=$1
shift
[ -p jobs ] || mkfifo -m 600 jobs
# The FIFO is opened for reading and writing: it has no end when the writer of a job is gone.
exec forkpool --handler "$handler" "$@" 0<>jobs >>results.ndjson
