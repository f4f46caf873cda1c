#!/bin/sh
# One task of the array: shard SLURM_ARRAY_TASK_ID of SHARDS.
# usage: shard.sh SHARDS PARTS VERB ARGUMENTS
set -eu
shards=$1 parts=$2
shift 2
exec onnxopt "$@" --shard "$SLURM_ARRAY_TASK_ID/$shards" -o "$parts/$SLURM_ARRAY_TASK_ID.part"
