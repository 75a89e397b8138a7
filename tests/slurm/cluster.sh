#!/usr/bin/env bash
# A real Slurm cluster on one machine, for tests: a controller and several node daemons on loopback,
# as root or as an ordinary user, all state under one folder. Nothing is installed and nothing runs
# as a service: Debian's packages are unpacked into the cache, and the daemons end with `down`.
#
#   cluster.sh fetch            unpack Slurm into the cache (once)
#   cluster.sh up [NODES]       write the configuration, start the daemons, wait until all are idle
#   cluster.sh down             end the daemons that `up` and `start` began, by their recorded pids
#   cluster.sh env              shell lines that point sbatch, srun, squeue, ... at this cluster
#   cluster.sh kill NODE        end a node's daemon alone: its ranks live on as orphans
#   cluster.sh crash NODE       end the daemon and everything that runs under it: a power cut
#   cluster.sh freeze NODE      stop all of that; `thaw NODE` lets it go on
#   cluster.sh start NODE       start a node's daemon again (NODE may be `controller` here and in kill)
#
# VESALIUS_CLUSTER names the folder. Files FOLDER/flags/prolog.NODE and health.NODE make the prolog
# refuse NODE, and the health check drain it. Nodes are called n1, n2, ..., two GPUs each that are
# links to /dev/null; partition `train` is the default, with 20 s of grace when `urgent` preempts it;
# `strict` has no grace.
set -euo pipefail
BOX=${VESALIUS_CLUSTER:-/tmp/vesalius-cluster-$(id -u)}
ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/vesalius/slurm
LIB=$ROOT/usr/lib/x86_64-linux-gnu
PACKAGES=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins liblua5.1-0 munge libmunge2)
CPUS=4
# Root's daemons would run what any user of this machine asks for: munge tells who asks. An ordinary
# user's run everything as that user, and need none.
AUTH=none
[[ $(id -u) != 0 ]] || AUTH=munge
export SLURM_CONF=$BOX/etc/slurm.conf

die() { echo "cluster: $*" >&2; exit 1; }

fetch() {
  [[ ! -e $ROOT/.complete ]] || return 0
  command -v apt-get dpkg-deb > /dev/null || die "Slurm comes from Debian packages; this is no Debian"
  local staging
  mkdir -p "$(dirname "$ROOT")"
  staging=$(mktemp -d "$ROOT.XXXXXX")
  mkdir "$staging/debs" "$staging/bin"
  (cd "$staging/debs" && apt-get -q download "${PACKAGES[@]}") ||
    { rm -rf "$staging"; die "could not fetch ${PACKAGES[*]} (run apt-get update?)"; }
  for deb in "$staging"/debs/*.deb; do dpkg-deb -x "$deb" "$staging"; done
  rm -r "$staging/debs"
  for program in slurmctld slurmd slurmstepd; do
    ln -s "../usr/sbin/$program-wlm" "$staging/bin/$program"
  done
  ln -s ../usr/sbin/munged "$staging/bin/munged"
  for program in salloc sbatch scancel scontrol sinfo squeue srun; do
    ln -s "../usr/bin/$program" "$staging/bin/$program"
  done
  touch "$staging/.complete"
  chmod 755 "$staging"
  rm -rf "$ROOT"
  mv -T "$staging" "$ROOT"
}

environment() {
  echo "export SLURM_CONF='$SLURM_CONF' VESALIUS_CLUSTER='$BOX'"
  echo "export PATH='$ROOT/bin':\"\$PATH\""
  echo "export LD_LIBRARY_PATH='$LIB/slurm-wlm:$LIB'\"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\""
}

# A row of free ports, the first for the controller.
free_ports() {
  local base port try
  for try in $(seq 100); do
    base=$((20000 + (RANDOM + try) % 10000))
    for ((port = base; port <= base + $1; port++)); do
      if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then continue 2; fi
    done
    echo "$base"
    return
  done
  die "found no $(($1 + 1)) free ports in a row"
}

# What a site adds: a prolog that refuses a node, a health check that drains it, and for each task
# what ranks on pretended nodes need: they share one host name, so the shared-memory files need a
# folder per node, and Open MPI leaves loopback out unless told.
write_site_programs() {
  cat > "$BOX/etc/prolog.sh" <<EOF2
#!/bin/sh
[ ! -e "$BOX/flags/prolog.\$SLURMD_NODENAME" ]
EOF2
  cat > "$BOX/etc/health.sh" <<EOF2
#!/bin/sh
node=\$(tr '\\0' ' ' < /proc/\$PPID/cmdline | sed -n 's/.*-N \\([^ ]*\\).*/\\1/p')
[ -e "$BOX/flags/health.\$node" ] || exit 0
$(environment)
scontrol update nodename="\$node" state=drain reason="health: \$(cat "$BOX/flags/health.\$node")"
EOF2
  cat > "$BOX/etc/task_prolog.sh" <<EOF2
#!/bin/sh
echo "export VESALIUS_DECLARED_NODE=\$SLURMD_NODENAME"
echo "export OMPI_MCA_btl=self,vader,tcp"
echo "export OMPI_MCA_btl_tcp_if_include=lo"
echo "export OMPI_MCA_btl_vader_backing_directory=$BOX/tmp/\$SLURMD_NODENAME"
EOF2
  chmod 755 "$BOX"/etc/*.sh
}

write_configuration() {
  local nodes=$1 host me base
  host=$(hostname -s) me=$(id -un) base=$(free_ports "$nodes")
  mkdir -p "$BOX"/{etc,state,log,run,spool,dev,tmp,flags}
  write_site_programs
  ln -sfn /dev/null "$BOX/dev/gpu0"
  ln -sfn /dev/null "$BOX/dev/gpu1"
  echo "NodeName=n[1-$nodes] Name=gpu File=$BOX/dev/gpu[0-1]" > "$BOX/etc/gres.conf"
  # The tree fence of 22.05 lets ranks leave MPI_Init early now and then; the ring does not.
  printf 'PMIxCollFence=ring\nPMIxTimeout=60\n' > "$BOX/etc/mpi.conf"
  cat > "$SLURM_CONF" <<EOF2
ClusterName=vesalius
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$base
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/$AUTH
CredType=cred/$AUTH
# also how long a requeued job waits (120 s by default)
AuthInfo=$([[ $AUTH == none ]] || echo "socket=$BOX/munge/socket,")cred_expire=5
PluginDir=$LIB/slurm-wlm
StateSaveLocation=$BOX/state
SlurmdSpoolDir=$BOX/spool/%n
# PMIx makes its folder of a step here: one for each daemon
TmpFS=$BOX/tmp/%n
SlurmctldPidFile=$BOX/run/controller.pid
SlurmdPidFile=$BOX/run/%n.pid
SlurmctldLogFile=$BOX/log/controller.log
SlurmdLogFile=$BOX/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
# more processors than the machine may have
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_min_interval=0,batch_sched_delay=0,requeue_delay=0,nohold_on_prolog_fail
SlurmdTimeout=15
SlurmctldTimeout=15
InactiveLimit=0
MinJobAge=300
KillWait=8
CompleteWait=0
MessageTimeout=10
TCPTimeout=2
ReturnToService=2
JobRequeue=1
PropagateResourceLimits=NONE
GresTypes=gpu
TaskProlog=$BOX/etc/task_prolog.sh
Prolog=$BOX/etc/prolog.sh
PrologFlags=Alloc
HealthCheckProgram=$BOX/etc/health.sh
HealthCheckInterval=5
HealthCheckNodeState=ANY
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
EOF2
  for ((i = 1; i <= nodes; i++)); do
    echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((base + i)) CPUs=$CPUS" \
      "RealMemory=1000 Gres=gpu:2 State=UNKNOWN"
  done >> "$SLURM_CONF"
  cat >> "$SLURM_CONF" <<EOF2
PartitionName=DEFAULT Nodes=n[1-$nodes] MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=train Default=YES GraceTime=20
PartitionName=strict GraceTime=0
PartitionName=urgent PriorityTier=10
EOF2
}

start() {
  if [[ $1 == controller ]]; then slurmctld -f "$SLURM_CONF" "${@:2}"; return; fi
  mkdir -p "$BOX/spool/$1" "$BOX/tmp/$1"
  chmod 1777 "$BOX/tmp/$1"
  slurmd -N "$1" -f "$SLURM_CONF" -d "$ROOT/bin/slurmstepd"
}

start_munge() {
  mkdir -p "$BOX/munge"
  chmod 711 "$BOX/munge"
  (umask 077 && head -c 128 /dev/urandom > "$BOX/munge/key")
  munged --force --key-file="$BOX/munge/key" --socket="$BOX/munge/socket" --pid-file="$BOX/run/munge.pid" \
    --log-file="$BOX/munge/log" --seed-file="$BOX/munge/seed"
}

# The recorded pid of a daemon, if it is still that daemon: each has our folder in its arguments.
daemon_pid() {
  local pid
  pid=$(cat "$BOX/run/$1.pid" 2> /dev/null) || return 1
  [[ $(tr '\0' ' ' 2> /dev/null < "/proc/$pid/cmdline") == *"$BOX/"* ]] && echo "$pid"
}

below() { # all that descends from a process
  local child
  # shellcheck disable=SC2013  # the kernel's list is words
  for child in $(cat "/proc/$1/task/$1/children" 2> /dev/null); do echo "$child"; below "$child"; done
}

# The daemon of a node, the step daemons (they hold its log open), and all below them.
node_pids() {
  local process
  daemon_pid "$1" || true
  for process in /proc/[0-9]*; do
    [[ $(tr '\0' ' ' 2> /dev/null < "$process/cmdline") == slurmstepd:* ]] || continue
    readlink "$process"/fd/* 2> /dev/null | grep -qx "$BOX/log/$1.log" || continue
    echo "${process#/proc/}"
    below "${process#/proc/}"
  done 2> /dev/null
}

signal_node() { # SIGNAL NODE
  local pid
  for pid in $(node_pids "$2"); do kill "-$1" "$pid" 2> /dev/null || true; done
}

# A power cut takes the node's memory too: the folders there that no other agent holds.
crash() { # NODE
  local folder
  signal_node KILL "$1"
  for folder in /dev/shm/vesalius-"$(id -u)"-*-"$1"; do
    [[ ! -d $folder ]] || flock --wait 2 "$folder" rm -rf "$folder" || true
  done
}

up() {
  local nodes=${1:-4} idle=0
  fetch
  [[ -z $(daemon_pid controller) ]] || die "a cluster already runs in $BOX; first: cluster.sh down"
  write_configuration "$nodes"
  [[ $AUTH == none ]] || start_munge
  start controller -c
  for ((i = 1; i <= nodes; i++)); do start "n$i"; done
  for _ in $(seq 60); do
    idle=$(sinfo -h -N -p train -o %T 2> /dev/null | grep -c idle || true)
    [[ $idle != "$nodes" ]] || return 0
    sleep 0.5
  done
  die "only $idle of $nodes nodes came up; logs: $BOX/log"
}

end_daemon() {
  local pid
  pid=$(daemon_pid "$1") || return 0
  kill -TERM "$pid" 2> /dev/null || return 0
  for _ in $(seq 50); do [[ -n $(daemon_pid "$1") ]] || return 0; sleep 0.1; done
  kill -KILL "$pid" 2> /dev/null || true
}

# First the jobs, so that no rank outlives the cluster.
down() {
  local file name
  if [[ -n $(daemon_pid controller) ]]; then
    timeout 10 scancel --user="$(id -un)" 2> /dev/null || true
    for _ in $(seq 40); do [[ -n $(timeout 5 squeue -h 2> /dev/null) ]] || break; sleep 0.5; done
  fi
  for file in "$BOX"/run/n*.pid; do
    name=$(basename "$file" .pid)
    signal_node CONT "$name"
    end_daemon "$name"
    signal_node KILL "$name"
  done
  end_daemon controller
  end_daemon munge
}

[[ $# -gt 0 ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 64; }
eval "$(environment)"
case $1 in
  fetch) fetch ;;
  up) up "${2:-4}" ;;
  down) down ;;
  env) environment ;;
  kill) kill -KILL "$(daemon_pid "$2")" ;;
  crash) crash "$2" ;;
  freeze) signal_node STOP "$2" ;;
  thaw) signal_node CONT "$2" ;;
  start) start "$2" ;;
  *) die "unknown word '$1'; without any, this script explains itself" ;;
esac
