#!/usr/bin/env bash
# A Slurm cluster of one machine, for tests: no systemd, no cgroups, no database, nothing outside one folder.
#
#   eval "$(scripts/local_slurm.sh start)"    # start (or find) the cluster and point this shell's Slurm commands at it
#   scripts/local_slurm.sh status             # exit code 0 if it is up
#   scripts/local_slurm.sh stop               # cancel its jobs, end its daemons, remove its folder
#
# A second argument names the folder that holds the cluster; another folder is another, independent cluster.
# Works as root or as an ordinary user. Jobs run as the user who started the cluster. Tried with Slurm 22.05.
set -euo pipefail

readonly INSTALL="apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
readonly START_SECONDS=30 # a daemon that is not up by then has a reason, which is in its log
readonly STOP_SECONDS=10  # what has not ended by then is killed

die() {
  printf 'local_slurm: %s\n' "$*" >&2
  exit 1
}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

need_programs() {
  PATH=$PATH:/usr/sbin:/sbin # where Debian puts the daemons, outside an ordinary user's PATH
  local program
  for program in munged munge slurmctld slurmd sinfo scancel; do
    command -v "$program" >/dev/null || die "$program is not installed; install it with: $INSTALL"
  done
}

# --- the folder ---------------------------------------------------------------------------------------------------

make_folder() {
  # Slurm splits its configuration at blanks and '#'; a Unix socket's path holds at most 107 bytes.
  [[ $STATE =~ ^/[A-Za-z0-9_./+-]+$ ]] || die "folder $STATE: use an absolute path of letters, digits and _ . / + -"
  ((${#STATE} <= 90)) || die "folder $STATE: ${#STATE} characters are too many for the path of a socket (at most 90)"
  if [[ -n $(ls -A "$STATE" 2>/dev/null) && ! -e $LOCK ]]; then
    die "folder $STATE holds other things; name a new folder"
  fi
  umask 077 # nobody else may read the key or enter the folder
  mkdir -p "$STATE"
  [[ -O $STATE ]] || die "folder $STATE belongs to another user; name another folder"
}

lock() { # two starts at once make one cluster
  exec 9>"$LOCK"
  flock 9
}

free_port() {
  # Below the range that the kernel hands to outgoing connections, so that none of them takes it before the daemon.
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 10000))
    if [[ $port != "${1:-}" ]] && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  die "found no free port between 20000 and 29999"
}

write_configuration() {
  local user host ctld_port slurmd_port megabytes
  user=$(id -un) || die "user $UID has no name in /etc/passwd, and Slurm wants one"
  host=$(uname -n)
  host=${host%%.*}
  ctld_port=$(free_port)
  slurmd_port=$(free_port "$ctld_port")
  megabytes=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo)
  rm -rf "$STATE/ctld" "$STATE/slurmd" # jobs of a cluster that a crash or a reboot ended
  mkdir "$STATE/ctld" "$STATE/slurmd"
  head -c 128 /dev/urandom >"$STATE/munge.key"
  cat >"$STATE/slurm.conf" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
SlurmUser=$user
SlurmdUser=$user
# A requeued job waits for its old credential to expire, by default two minutes; 5 s is the least.
AuthInfo=socket=$STATE/munge.socket,cred_expire=5

StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/slurmd
SlurmctldPidFile=$STATE/slurmctld.pidfile
SlurmdPidFile=$STATE/slurmd.pidfile

# No cgroups and no affinity, so that it runs inside a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none

# No database, so sacct knows nothing. Ended jobs stay visible to squeue --states=all for MinJobAge seconds.
AccountingStorageType=accounting_storage/none
MinJobAge=300

JobRequeue=1
# Seconds that a job has between SIGTERM and SIGKILL.
KillWait=2
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
# Four jobs share a CPU, so that a small array runs at once on a small machine.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$megabytes State=UNKNOWN
PartitionName=local Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
END
}

# --- the daemons --------------------------------------------------------------------------------------------------

# Prints the process id of a daemon that this script started and that still lives. The folder must stand in its
# command line: process ids are used again, and a pid file outlives a reboot.
pid_of() {
  local pid
  pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
  grep -qF -- "$STATE/" "/proc/$pid/cmdline" 2>/dev/null || return 1
  echo "$pid"
}

# Usage: daemon NAME PROBE COMMAND...   starts the command, unless it runs, and waits until the probe succeeds.
daemon() {
  local name=$1 probe=$2 pid deadline=$((SECONDS + START_SECONDS))
  shift 2
  if ! pid=$(pid_of "$name"); then
    # Its own session, so that Ctrl-C in the terminal does not reach it; without the lock, which it must not keep.
    (cd "$STATE" && exec setsid "$@" </dev/null >>"$name.log" 2>&1 9>&-) &
    pid=$!
    echo "$pid" >"$STATE/$name.pid"
  fi
  until $probe; do
    kill -0 "$pid" 2>/dev/null || failed "$name" "ended at its start"
    ((SECONDS < deadline)) || failed "$name" "does not answer after $START_SECONDS s"
    sleep 0.05
  done
}

failed() {
  printf -- '--- the end of %s\n%s\n' "$STATE/$1.log" "$(tail -n 15 "$STATE/$1.log")" >&2
  end_daemons
  die "$1 $2; why is in its log, $STATE/$1.log, whose end is above"
}

munge_answers() { munge -n -S "$STATE/munge.socket" >/dev/null 2>&1; }
ctld_answers() { scontrol ping 2>/dev/null | grep -q 'is UP'; }
node_is_up() { [[ $(sinfo -h -o %T 2>/dev/null) =~ ^(idle|mixed|allocated)$ ]]; }

start_daemons() {
  # --force: munged refuses a folder that other users cannot enter, which is what keeps them out of this cluster.
  daemon munged munge_answers \
    munged --foreground --force --key-file="$STATE/munge.key" --socket="$STATE/munge.socket" \
    --pid-file="$STATE/munged.pidfile" --seed-file="$STATE/munged.seed"
  daemon slurmctld ctld_answers slurmctld -D -f "$STATE/slurm.conf"
  daemon slurmd node_is_up slurmd -D -f "$STATE/slurm.conf"
}

end_daemons() {
  local name pid deadline
  for name in slurmd slurmctld munged; do # the reverse of their start
    deadline=$((SECONDS + STOP_SECONDS))
    while pid=$(pid_of "$name"); do
      if ((SECONDS < deadline)); then kill "$pid"; else kill -KILL "$pid"; fi 2>/dev/null || true
      sleep 0.05
    done
  done
}

# --- the jobs -----------------------------------------------------------------------------------------------------

cancel_jobs() {
  local deadline=$((SECONDS + STOP_SECONDS))
  ctld_answers && scancel --user="$(id -un)" 2>/dev/null || return 0
  while [[ -n $(squeue -h 2>/dev/null) ]] && ((SECONDS < deadline)); do sleep 0.1; done
}

# Prints the processes that jobs of this cluster left behind: those that escaped Slurm by leaving their parent, and the
# steps of a controller that crashed.
left_behind() {
  local process
  for process in /proc/[0-9]*; do
    if is_step "$process" || is_job "$process"; then echo "${process#/proc/}"; fi 2>/dev/null
  done
}

# A step overwrites its command line and environment, but keeps the working directory of its slurmd.
is_step() { [[ $1/cwd -ef $STATE && $(<"$1/comm") == slurmstepd* ]]; }

# Slurm gives both variables to the processes of jobs; a shell that only uses the cluster has the first alone.
is_job() { grep -qzxF "SLURM_CONF=$STATE/slurm.conf" "$1/environ" && grep -qz '^SLURM_JOB_ID=' "$1/environ"; }

# --- the commands -------------------------------------------------------------------------------------------------

start() {
  need_programs
  make_folder
  lock
  if ! { pid_of slurmctld || pid_of slurmd; } >/dev/null; then write_configuration; fi
  start_daemons
  echo "export SLURM_CONF=$STATE/slurm.conf"
}

stop() {
  [[ -e $STATE ]] || return 0
  [[ -e $LOCK ]] || die "folder $STATE holds no cluster of this script"
  need_programs
  lock
  cancel_jobs
  end_daemons
  local pid
  for pid in $(left_behind); do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$STATE"
}

status() {
  need_programs
  local name
  for name in munged slurmctld slurmd; do
    pid_of "$name" >/dev/null || die "$name is not running in $STATE; start it with: $0 start $STATE"
  done
  sinfo
}

(($# == 1 || $# == 2)) || usage
STATE=${2:-${XDG_RUNTIME_DIR:-/tmp}/mapanything-slurm-$UID}
[[ $STATE == /* ]] || STATE=$PWD/$STATE
readonly STATE=${STATE%/}
readonly LOCK=$STATE/local_slurm.lock # also tells this script's folders from others
export SLURM_CONF=$STATE/slurm.conf
case $1 in
start | stop | status) "$1" ;;
*) usage ;;
esac
