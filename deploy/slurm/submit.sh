#!/bin/sh
# Runs onnxopt calibrate or compare as a Slurm array, one task for each shard, and merges when all have succeeded.
# usage: submit.sh SHARDS OUT calibrate|compare ARGUMENTS
# onnxopt, the model, the samples and OUT are on a file system that all nodes see. SBATCH_OPTIONS goes to sbatch, such as
# "--partition=cpu --cpus-per-task=4". Prints the number of the merge job. Slurm's MaxArraySize must be above SHARDS.
# Parts are renamed into place when they are complete, so a task that is killed and requeued does no harm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
shards=$1 out=$2
shift 2
mkdir -p "$out.parts"
# shellcheck disable=SC2086
array=$(sbatch --parsable --requeue --array="1-$shards" --job-name=onnxopt-shard --output="$out.parts/%a.log" ${SBATCH_OPTIONS:-} \
	"$here/shard.sh" "$shards" "$out.parts" "$@")
# shellcheck disable=SC2086
sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes --job-name=onnxopt-merge --output="$out.log" ${SBATCH_OPTIONS:-} \
	"$here/merge.sh" "$out.parts" "$out"
