# The short form of tests/fault/fault.py: of every verb one allocation or one write fails, drawn at random.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null 2>&1 || {
    echo "skipped: no Python on this machine"
    exit 77
}
[ -z "${SANITIZE:-}" ] || {
    echo "skipped: a sanitizer has an allocator of its own"
    exit 77
}
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
faults() { # faults KIND CASE...
    one=$1
    shift
    python3 "$SOURCE/tests/fault/fault.py" --kind "$one" --first 0 --spread 1 --seed 2 "$@" >out 2>err || fail "$one: $(grep -A2 FAILED out | head -12)"
    same "$one: commands of which a call has failed" "$(grep -c '^[a-z-]*: 1 of [0-9]* .* made to fail.*; 0 problems' out)" $#
}
faults alloc unlearn-amun audit eval attack norms quantize-train ensemble-eval store-signals data-info convert-in inspect ledger-list doctor
faults write train report quantize-export store-train sweep data-export convert-pth ledger-record ledger-keygen
finish
