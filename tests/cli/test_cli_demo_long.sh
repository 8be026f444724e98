# `lethe demo` with all its defaults and one method: the default of AMUN forgets, at the size of the demo.
. "$(dirname "$0")/lib.sh"

run 0 demo --methods amun --quiet --json --out d
row() { # row NAME KEY: of the row with that name
    awk -v name="\"$1\"" -v key="\"$2\":" '
        /^    \{/ { v = ""; hit = 0 }
        $1 == key { v = $2; sub(/,$/, "", v) }
        $1 == "\"name\":" { hit = index($0, name) > 0 }
        /^    \}/ && hit { print v }' out
}
[ "$(calc "($(row AMUN avg_gap) < 0.5 * $(row Original avg_gap))")" = 1 ] ||
    fail "gap: $(row AMUN avg_gap), of the original $(row Original avg_gap)"
[ "$(calc "($(value d/amun/result.json forget_acc) < 0.95)")" = 1 ] || fail "UA $(value d/amun/result.json forget_acc)"
[ "$(calc "($(value d/amun/result.json retain_acc) > 0.98)")" = 1 ] || fail "RA $(value d/amun/result.json retain_acc)"
[ "$(calc "($(value d/retrain/result.json forget_acc) < $(value d/amun/result.json original.forget_acc) - 0.1)")" = 1 ] ||
    fail "UA of the oracle: $(value d/retrain/result.json forget_acc)"
finish
