# shellcheck shell=bash
# Functions of train.sbatch and node.sh (sourced).

say() { printf '%(%F %T)T slurm: %s\n' -1 "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# The IPv4 address of this node: that of the interface IFACE, where it is set, or else the first one.
node_ip() {
  local ip
  if [[ ${IFACE:-} ]]; then
    ip=$(ip -4 -o addr show dev "$IFACE" scope global | awk '{ split($4, a, "/"); print a[1]; exit }') || true
  else
    ip=$(hostname -I | tr ' ' '\n' | grep -m 1 -x '[0-9.]*') || true
  fi
  [[ $ip ]] || die "$(hostname) has no IPv4 address${IFACE:+ on $IFACE}; its interfaces: $(echo /sys/class/net/*). Set IFACE"
  echo "$ip"
}

port_is_open() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# A port for Ray on this node's address $1: nobody listens on it, nor on the next one. The first tried depends on the job, so
# that jobs which start together on a node do not meet; all are below the ports that the kernel gives to clients.
free_port() {
  local port=$((20000 + 2 * SLURM_JOB_ID % 10000))
  while port_is_open "$1" "$port" || port_is_open "$1" "$((port + 1))"; do port=$((port + 2)); done
  echo "$port"
}

# Ends the session (setsid) of the process $1: TERM, and KILL after $2 seconds.
end_session() {
  local last=$((SECONDS + $2))
  kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null || return 0 # a session yet, or not yet
  while kill -0 -- "-$1" 2>/dev/null; do
    ((SECONDS < last)) || kill -KILL -- "-$1" 2>/dev/null || true
    sleep 0.2
  done
}
