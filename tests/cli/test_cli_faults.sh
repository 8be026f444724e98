# The short form of tests/fault/fault.py: of every verb one allocation and one write fail, drawn at random.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null 2>&1 || {
    echo "skipped: no Python on this machine"
    exit 77
}
kind=alloc
[ -z "${SANITIZE:-}" ] || kind=own # the library's allocations alone: a sanitizer has an allocator of its own
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
for one in $kind write; do
    python3 "$SOURCE/tests/fault/fault.py" --kind $one --first 0 --spread 1 --seed 2 >out 2>err || fail "$one: $(grep -A2 FAILED out | head -12)"
    [ "$(grep -c '; 0 problems' out)" -ge 30 ] || fail "$one: not every verb was run: $(tail -3 out)"
done
finish
