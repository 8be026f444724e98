#!/bin/sh
# interrupt.sh - interrupts a training with SIGINT at moments spread over its first second, again and again. It must end
# with exit code 75, or 0 when it was faster, and never by a signal.
#   LETHE=build/release/cli/lethe tests/kill/interrupt.sh TIMES
set -u
: "${LETHE:?}"
times=${1:?how many times}
case $LETHE in /*) ;; *) LETHE=$PWD/$LETHE ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/lethe-interrupt.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export LETHE_HOME="$work/home" OMP_WAIT_POLICY=passive
unset LETHE_DATA
i=0 bad=0
while [ $i -lt "$times" ]; do
    i=$((i + 1))
    rm -rf run
    "$LETHE" train --data synthetic,train=200,test=100 --batch 50 --model simple-conv:width=8 --epochs 60 --deterministic \
        --threads 1 --out run >out 2>err &
    pid=$!
    sleep 0.$((i % 9 + 1))$((i % 7))
    kill -INT $pid 2>/dev/null
    wait $pid
    code=$?
    case $code in
    0 | 75) ;;
    *)
        bad=$((bad + 1))
        echo "interruption $i: exit code $code: $(tail -n 1 err)"
        ;;
    esac
done
echo "$times interruptions, $bad with another exit code than 0 and 75"
[ $bad = 0 ]
