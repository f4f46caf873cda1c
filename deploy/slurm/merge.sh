#!/bin/sh
# usage: merge.sh PARTS OUT
# Fails, and writes nothing, if a part is missing or there twice.
set -eu
exec onnxopt merge "$1"/*.part -o "$2"
