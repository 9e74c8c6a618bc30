#!/bin/sh
# Submits the array, and the merge behind it. A kitten that bites fails its task, so the merge waits for any end.
set -e
array=$(sbatch --parsable samples/slurm/array.sbatch)
sbatch --dependency="afterany:$array" samples/slurm/merge.sbatch
