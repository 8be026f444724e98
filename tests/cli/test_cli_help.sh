# Help, version, unknown names, colours.
. "$(dirname "$0")/lib.sh"

run 0 --help
contains out "Usage: lethe COMMAND"
verbs=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' out)
for verb in demo data train eval unlearn audit report inspect bench doctor; do
    echo "$verbs" | grep -qx "$verb" || fail "lethe --help does not list $verb"
done
for verb in $verbs; do
    run 0 "$verb" --help
    contains out "^Usage: lethe $verb"
    contains out "--\[no-\]json"
    for option in --seed --threads --device; do
        same "$verb --help: lines of $option" "$(grep -c -e "^  $option " out)" 1
    done
    run 0 "$verb" --seed 5 --threads 1 --device cpu --quiet --json --show-config
    json out seed.value threads.value device.value
    error 2 "device: expected cpu or cuda, found 'gpu'" "$verb" --device gpu
    run 0 help "$verb"
    contains out "^Usage: lethe $verb"
    error 2 "unknown option --jsno" "$verb" --jsno
    contains err "^hint: did you mean --json"
done
run 0 unlearn --help
for method in $(sed -n '/^Methods/,/^$/s/^  \([a-z0-9-]*\)  *.*/\1/p' out); do
    run 0 unlearn --method "$method" --help
    case $method in
    retrain | logit-mask | svd | mupht | mupht-dagger | damp) ;; # no training of its own
    ssd | fisher | influence) contains out "  --mask NAME" ;; # no training
    *) contains out "  --epochs N" && contains out "  --mask NAME" && contains out "  --l1 X" ;;
    esac
done
run 0 unlearn --method amun --help
contains out "--attack.eps0 X"

run 0 train --version
contains out "^lethe [0-9]"
run 0 --version
contains out "^lethe [0-9]"
run 2
[ ! -s out ] || fail "lethe without arguments: output on stdout"
error 2 "unknown command 'trian'" trian
contains err "^hint: did you mean .lethe train"
error 2 "unknown unlearning method 'amn'" unlearn x --method amn
contains err "amun"
error 2 "unknown option -x" train -x
error 2 "expected a value" train --data
error 2 "found 'many'" train --epochs many
error 2 "'sgdd'" train --optimizer sgdd
contains err "did you mean sgd"
error 2 "no kind of data set is called 'sinthetic'" train --data sinthetic
error 2 "data is missing" train
error 2 "method is missing" unlearn x
error 2 "expected" eval
error 2 "expected cpu" train --device gpu

# --json: an error is one JSON object too
run 2 trian --json
json out error.message error.exit_code error.hint
run 2 train --json --epochs many
json out error.message

# --show-config says where values come from, in the documented order
printf 'lr: 0.3\nepochs: 7\n' >config.yaml
LETHE_EPOCHS=8 run 0 train --config config.yaml --set momentum=0.5 --batch 32 --show-config
contains out "^train.lr = 0.3 *# config config.yaml"
contains out "^train.epochs = 8 *# env LETHE_EPOCHS"
contains out "^train.momentum = 0.5 *# --set"
contains out "^train.batch = 32 *# flag"
contains out "^train.nesterov = false *# default"
run 0 train --show-config --json
json out "seed.value"
LETHE_CONFIG=config.yaml LETHE_SET=momentum=0.25 run 0 train --show-config
contains out "^train.lr = 0.3 *# config config.yaml"
contains out "^train.momentum = 0.25 *# --set"
LETHE_CONFIG=nowhere.yaml error 3 "nowhere.yaml" train --show-config
LETHE_SET=momentum error 2 "LETHE_SET: expected key=value" train --show-config
error 2 "write --config" train --set config=config.yaml --show-config
printf 'config: other.yaml\n' >config.yaml
error 2 "config.yaml:1: config: .*write --config" train --config config.yaml --show-config
printf 'lrr: 0.3\n' >config.yaml
error 2 "unknown option lrr" train --config config.yaml --show-config

# colours only on a terminal, and never with NO_COLOR
if command -v script >/dev/null 2>&1 && TERM=xterm script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    escape=$(printf '\033')
    TERM=xterm script -qec "$LETHE trian" /dev/null </dev/null >tty 2>&1
    contains tty "$escape\["
    NO_COLOR=1 TERM=xterm script -qec "$LETHE trian" /dev/null </dev/null >tty 2>&1
    lacks tty "$escape\["
fi
run 2 trian
lacks err "$(printf '\033')"

# what a command sets itself is its default, not that of the table
run 0 quantize --help
grep -A1 -e '--epochs N' out >rows
contains rows 'default 15'
run 0 train --help
grep -A1 -e '--epochs N' out >rows
contains rows 'default 20'

# options of single attacks have a default and a range, as all others
run 0 attack --help
grep -A1 -e '--cw.c X' -e '--square.p-init X' out >rows
contains rows '1e-12..1000000000; default 0.001'
contains rows '0.0001..1; default'
run 0 audit --help
grep -A1 -e '--rmia.gamma X' out >rows
contains rows '1e-06..1000000;'

# a result that cannot be written is an error
"$LETHE" --help >/dev/full 2>err
same "exit code with a full standard output" "$?" 7
finish
