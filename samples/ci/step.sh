#!/bin/sh
# One step of a CI job: keep the rejects and a report when some jobs are not ok, fail when the run itself failed. sh samples/ci/step.sh
forkpool -j 2 -i samples/names.csv -o petted.csv --rejects rejects.csv --junit kittens.xml --report kittens.html -- python3 samples/pet.py
status=$?
case $status in
  0) echo "all kittens petted" ;;
  1) # the run is complete, some records are not ok: a warning, and rejects.csv becomes an artifact
    echo "$(tail -n +2 rejects.csv | wc -l | tr -d ' ') kittens bite, see rejects.csv"
    if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "rejects=rejects.csv" >> "$GITHUB_OUTPUT"; fi ;;
  *) # 2 wrong usage, 3 no worker, 4 input or output failed, 5 too many failures, 130 and others a signal
    echo "forkpool failed with status $status" >&2
    exit "$status" ;;
esac
