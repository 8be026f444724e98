#!/bin/sh
# kill.sh - kills a command with SIGKILL at random points, starts it again until it ends, and compares what comes out
# with a run that nobody disturbed. No finished record may be lost, and every interrupted run must end with the same bits.
#   LETHE=build/release/cli/lethe tests/kill/kill.sh KILLS [SEED] [train] [unlearn] [store] [ledger] [study]
# KILLS are spread over the commands. The short form in the suite is tests/cli/test_cli_kill_full.sh; 1,000 kills take an
# hour or more on two cores.
set -u
: "${LETHE:?}"
kills=${1:?how many kills} seed=${2:-1}
shift $(($# > 2 ? 2 : $#))
[ $# -gt 0 ] || set -- train unlearn store ledger study
case $LETHE in /*) ;; *) LETHE=$PWD/$LETHE ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/lethe-kill.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work" || exit 1
export LETHE_HOME="$work/home" HOME="$work" XDG_DATA_HOME="$work/share" LETHE_CACHE= OMP_NUM_THREADS=1 LETHE_THREADS=1 LETHE_QUIET=1
unset LETHE_DATA
tiny="--data synthetic,train=200,test=100 --model simple-conv:width=8 --batch 50"
verb_of_studies=study
"$LETHE" study --help >/dev/null 2>&1 || verb_of_studies=sweep

die() {
    printf 'kill.sh: %s\n' "$*" >&2
    [ ! -s err ] || sed 's/^/    /' err | tail -5 >&2
    exit 1
}

random=$seed
next() { # a number below $1, in $number
    random=$(((random * 1103515245 + 12345) % 2147483648))
    number=$((random / 65536 % $1))
}

# ---- what is killed: start_VERB runs the command in the background, digest_VERB prints what came out, clear_VERB
# removes it. All in the current directory.

digests() { # of the models of all runs below the directories named
    find "$@" -name result.json | sort | while read -r file; do
        printf '%s %s\n' "$file" "$(sed -n 's/.*"model_digest": "\([0-9a-f]*\)".*/\1/p' "$file" | tail -1)"
    done
}

start_train() { exec "$LETHE" train $tiny --epochs 10 --checkpoint-every-s 1 --out run; }
clear_train() { rm -rf run; }
digest_train() { digests run; }

start_unlearn() { exec "$LETHE" unlearn parent --method amun --forget random:10% --epochs 8 --request-id killed --out run; }
clear_unlearn() { rm -rf run; }
digest_unlearn() { digests run; cksum <run/forget.csv; }

start_store() { exec "$LETHE" store train $tiny --epochs 3 --count 4 --seed 0 --store store; }
clear_store() { rm -rf store; }
digest_store() { "$LETHE" store list --store store --json >list 2>err || die "store list"; (cd store && find . -name model.safetensors | sort | xargs cksum); }

start_ledger() { exec "$LETHE" ledger record several/* --ledger small.db; }
clear_ledger() { rm -f small.db small.db-journal; }
digest_ledger() { "$LETHE" ledger list --ledger small.db --json >list 2>err || die "ledger list"; sed -n 's/.*"run": "\(.*\)".*/\1/p' list | sort; }

start_study() { exec "$LETHE" $verb_of_studies study.yaml --jobs 2 --out study; }
clear_study() { rm -rf study; }
digest_study() { digests study; }

prepare() {
    "$LETHE" train $tiny --epochs 1 --out parent >/dev/null 2>err || die "the model before"
    for i in 1 2 3 4 5 6; do
        "$LETHE" train $tiny --epochs 1 --seed $i --no-record --out several/$i >/dev/null 2>err || die "runs to record"
    done
    cat >study.yaml <<'END'
study: killed
data: synthetic,train=96,test=48
model: simple-conv:width=4
train: {epochs: 1, batch: 32, lr: 0.05}
bases: [1]
forget: [{spec: "random:25%", seed: 1}]
repetitions: [3]
oracles: [1, 2]
audit: {bootstrap: 20, attacks: [loss]}
methods:
  - {name: ft, method: ft, options: {epochs: 1, lr: 0.01}}
END
}

# ---- killing

now_ms() { date +%s%3N; }

# Everything that a killed process had finished is still there, and the ledger is in order. An empty file is one whose
# writer was killed before its first record.
check_ledgers() {
    for db in "$LETHE_HOME/lethe.db" small.db; do
        [ ! -s $db ] || "$LETHE" ledger list --ledger $db >/dev/null 2>err || die "$1: $db cannot be read"
    done
}

# The jobs of a killed study are processes of their own, and end by themselves.
has_children() {
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/cwd" 2>/dev/null)" = "$work" ] && [ "$(cat "$process/comm" 2>/dev/null)" = lethe ] && return 0
    done
    return 1
}

kill_one() { # VERB KILLS
    verb=$1 wanted=$2 done_kills=0 rounds=0
    clear_$verb
    from=$(now_ms)
    (start_$verb) >/dev/null 2>err || die "$verb: the undisturbed run failed"
    took=$(($(now_ms) - from))
    digest_$verb >expected
    [ -s expected ] || die "$verb: the undisturbed run left nothing"
    while [ $done_kills -lt "$wanted" ]; do
        clear_$verb
        rounds=$((rounds + 1))
        tries=0
        while :; do
            (start_$verb) >/dev/null 2>err &
            pid=$!
            tries=$((tries + 1))
            # After many kills in one round the command is left alone: it must get to its end.
            if [ $done_kills -lt "$wanted" ] && [ $tries -le 12 ]; then
                next $((took + took / 4 + 20))
                sleep "$(printf '%d.%03d' $((number / 1000)) $((number % 1000)))"
                if kill -KILL $pid 2>/dev/null; then
                    wait $pid 2>/dev/null
                    if [ $? = 137 ]; then
                        done_kills=$((done_kills + 1))
                        while has_children; do sleep 0.05; done
                        check_ledgers "$verb"
                        continue
                    fi
                    break
                fi
            fi
            wait $pid || die "$verb: starting it again failed after $done_kills kills"
            break
        done
        (start_$verb) >/dev/null 2>err || die "$verb: the finished command fails when it is given again"
        digest_$verb >found
        cmp -s expected found || { diff expected found >&2; die "$verb: another result after $done_kills kills (round $rounds, seed $seed)"; }
    done
    for db in "$LETHE_HOME/lethe.db" small.db; do
        [ ! -e $db ] || "$LETHE" ledger verify --no-files --ledger $db >/dev/null 2>err || die "$verb: $db does not verify"
    done
    printf '%s: %d kills, %d rounds ended with the same result\n' "$verb" $done_kills $rounds
}

prepare
n=$#
for one in "$@"; do
    kill_one "$one" $(((kills + n - 1) / n))
done
