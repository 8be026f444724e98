# Exit codes over all verbs: input that is missing or cannot be read is 3, an unknown option or argument 2, what another
# process holds 1. One clear line each, nothing on standard output, no directory left behind.
. "$(dirname "$0")/lib.sh"
run 0 train $tiny --epochs 1 --out base --json
mkdir folder
mkfifo pipe
printf 'study: x\n' >bad.yaml

# missing VERB ARGS with the word MISSING in place of the input
table() {
    cat <<'END'
data info cifar10:MISSING
data verify npz:MISSING
data export tar:MISSING --out x
train --data folder:MISSING --out x
train --data mnist:MISSING --out x
train --config MISSING
train --resume MISSING
eval MISSING
unlearn MISSING --method ft --out x
unlearn base --method ft --forget file:MISSING --out x
unlearn base --method ft --requests MISSING --out x
unlearn base --method ft --config MISSING
audit MISSING
audit base --forget file:MISSING
audit base --oracle MISSING --forget random:5
audit --signals MISSING
report MISSING --out x
inspect MISSING
sweep MISSING --out x
store list --config MISSING
store train --data cifar10:MISSING
bench --config MISSING
doctor --config MISSING
serve x --config MISSING
demo --config MISSING --out x
demo --data cifar10:MISSING --out x
END
}
known=" $("$LETHE" --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p' | tr '\n' ' ')"
table | while read -r line; do
    for name in nowhere nowhere/inside; do
        # shellcheck disable=SC2046
        run 3 $(printf '%s' "$line" | sed "s|MISSING|$name|g")
        [ "$(grep -c '^lethe: ' err)" = 1 ] || fail "lethe $line: not one error line"
        [ ! -e x ] || fail "lethe $line: left something behind"
    done
    [ "$failures" = 0 ] || echo "$line" >>failed
done
[ ! -s failed ] || failures=1
for verb in $known; do
    table | grep -q "^$verb " || grep -q "^$verb\$" <<END || fail "lethe $verb has no row in the table of missing inputs"
attack
norms
ensemble
quantize
convert
ledger
END
    error 2 "no-such-option" "$verb" --no-such-option
done
error 3 "pipe" inspect pipe
error 3 "pipe" eval pipe --data synthetic
error 3 "folder" eval folder
if [ "$(id -u)" != 0 ]; then
    cp base/model.safetensors unreadable && chmod 000 unreadable
    error 3 "Permission denied" inspect unreadable
fi

# held by another process
if command -v flock >/dev/null 2>&1; then
    mkdir held
    flock held sleep 20 &
    holder=$!
    sleep 0.2
    error 1 "in use by another process" train $tiny --epochs 1 --out held
    kill $holder 2>/dev/null
    wait $holder 2>/dev/null
fi
finish
