#!/bin/sh
# A Slurm cluster of two nodes on this machine (Debian: slurm-wlm, munge; as root), an array of shards on it, and the bytes of one process.
# usage: test.sh ONNXOPT MODELS FOLDER
set -eu
onnxopt=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
models=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$3"
dir=$(cd "$3" && pwd)
rm -rf "${dir:?}"/*
host=$(hostname -s)
pids=
# shellcheck disable=SC2086
trap 'kill $pids 2>/dev/null || :' EXIT

mkdir -p "$dir/state" "$dir/bin" "$dir/munge"
chmod 700 "$dir/munge"
ln -s "$onnxopt" "$dir/bin/onnxopt"
export PATH="$dir/bin:$PATH" SLURM_CONF="$dir/slurm.conf"
dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 2>/dev/null
chmod 400 "$dir/munge/key"
cat > "$SLURM_CONF" <<EOF
ClusterName=two
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,bf_interval=1
MinJobAge=3600
ReturnToService=2
NodeName=a NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=1
NodeName=b NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=1
PartitionName=all Nodes=a,b Default=YES State=UP
EOF
munged --foreground --force --socket="$dir/munge.socket" --key-file="$dir/munge/key" --log-file="$dir/munge/log" \
	--pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" > "$dir/munged.log" 2>&1 &
pids="$pids $!"
sleep 1
slurmctld -D > "$dir/slurmctld.out" 2>&1 &
pids="$pids $!"
for node in a b; do
	mkdir -p "$dir/spool.$node"
	slurmd -D -N "$node" > "$dir/slurmd.$node.out" 2>&1 &
	pids="$pids $!"
done
for _ in $(seq 30); do
	[ "$(sinfo -h -t idle -o %D 2>/dev/null || :)" = 2 ] && break
	sleep 1
done
sinfo

# state waits for a job's end.
state() {
	for _ in $(seq 240); do
		s=$(scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | head -1)
		case $s in PENDING | RUNNING | COMPLETING | CONFIGURING) sleep 0.5 ;; *) break ;; esac
	done
	echo "$s"
}

cd "$dir"
resnet="$models/resnet8.onnx"
onnxopt quantize "$resnet" --data "$models/mnist" --calibration-samples 40 --samples 40 -q -o int8.onnx > quantize.log
set -- calibrate "$resnet" --data "$models/mnist" --calibration-samples 40
onnxopt "$@" -o one.cal > one.log
onnxopt compare "$resnet" int8.onnx --data "$models/mnist" --samples 40 --shard 1/1 -o one.eval >> one.log
a=$("$here/submit.sh" 8 array.cal "$@")
b=$("$here/submit.sh" 8 array.eval compare "$resnet" int8.onnx --data "$models/mnist" --samples 40)
test "$(state "$a")" = COMPLETED
test "$(state "$b")" = COMPLETED
cmp one.cal array.cal
cmp one.eval array.eval
# A lost shard, a repeated one, and an array that fails.
rm array.cal.parts/3.part
if "$here/merge.sh" array.cal.parts lost.cal 2> lost.log; then exit 1; fi
grep 'a shard is lost' lost.log
cp array.cal.parts/2.part array.cal.parts/3.part
if "$here/merge.sh" array.cal.parts twice.cal 2> twice.log; then exit 1; fi
grep 'counted twice' twice.log
c=$("$here/submit.sh" 2 failed.cal calibrate missing.onnx --data missing)
test "$(state "$c")" = CANCELLED
test ! -e lost.cal && test ! -e twice.cal && test ! -e failed.cal
echo "slurm array on 2 nodes: the bytes of one process"
