#!/usr/bin/env bash
# One node of the Ray cluster of a Slurm job: train.sbatch starts it on every node, with one srun.
#
# From train.sbatch: HEAD_IP, RAY_PORT, RAY_DIR, LOGS, BATCH_PID; from the user: IFACE, RAY_START_ARGS. Signals:
#   USR2   the job is over: stop Ray, collect its logs, leave
#   TERM   Slurm preempts or ends the job: tell train.sbatch, and keep Ray up so that a checkpoint can still be saved
set -euo pipefail
# shellcheck source=examples/slurm/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

leave() {
  trap '' USR2 TERM
  [[ ! ${!:-} ]] || end_session "$!" 15
  mkdir -p "$LOGS/ray-$SLURMD_NODENAME"
  cp -r "$RAY_DIR"/session_2*/logs/. "$LOGS/ray-$SLURMD_NODENAME" || true
  rm -rf "$RAY_DIR" || true
}
trap leave EXIT
trap 'exit 0' USR2
trap '((SLURM_PROCID > 0)) || kill -TERM "$BATCH_PID" || true' TERM

export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # nobody else uses this cluster: stop at once when told to
options=(
  --block --disable-usage-stats
  --node-ip-address="$(node_ip)"
  --labels="{\"slurm-node\": \"$SLURMD_NODENAME\"}" # for wait_for_nodes.py; the older of the forms that Ray reads
  --num-cpus="$SLURM_CPUS_ON_NODE"                  # Ray would count the CPUs of other jobs, too
  --min-worker-port=0 --max-worker-port=0           # any free ones: Ray's fixed range is shared by all jobs on the node
)
if ((SLURM_PROCID == 0)); then
  options+=(--head --port="$RAY_PORT" --ray-client-server-port="$((RAY_PORT + 1))" --temp-dir="$RAY_DIR" --include-dashboard=false)
else
  options+=(--address="$HEAD_IP:$RAY_PORT")
  until port_is_open "$HEAD_IP" "$RAY_PORT"; do sleep 1 || true; done # train.sbatch knows when to give up
fi
read -ra extra <<<"${RAY_START_ARGS:-}"
setsid ray start "${options[@]}" ${extra[@]+"${extra[@]}"} & # a session of its own: not reached by signals to our group
ray=$!
while kill -0 "$ray" 2>/dev/null; do wait "$ray" || true; done # a trapped signal ends `wait`, not Ray
wait "$ray"                                                     # `ray start --block` ends by itself only where Ray has failed
