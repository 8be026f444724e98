# `lethe demo` with all its defaults and one method: the default of AMUN forgets, at the size of the demo.
. "$(dirname "$0")/lib.sh"

run 0 demo --methods amun --quiet --json --out d
row() { # row NAME KEY: of the row with that name
    for i in 0 1 2 3 4 5; do
        if [ "$(value out "rows.$i.name" 2>/dev/null)" = "$1" ]; then
            value out "rows.$i.$2"
            return
        fi
    done
}
# Recorded for seeds 1 to 3 (docs/methods/amun.md): 94.8 to 97.5 % of the forgotten images are still recognised, of 100 %
# before and 81 to 83 % after retraining; gaps are 0.39 to 0.59 of the original's.
[ "$(calc "($(row AMUN avg_gap) < 0.7 * $(row Original avg_gap))")" = 1 ] ||
    fail "gap: $(row AMUN avg_gap), of the original $(row Original avg_gap)"
[ "$(calc "($(value d/amun/result.json forget_acc) < 0.98)")" = 1 ] || fail "UA $(value d/amun/result.json forget_acc)"
[ "$(calc "($(value d/amun/result.json retain_acc) > 0.98)")" = 1 ] || fail "RA $(value d/amun/result.json retain_acc)"
[ "$(calc "($(value d/retrain/result.json forget_acc) < $(value d/amun/result.json original.forget_acc) - 0.1)")" = 1 ] ||
    fail "UA of the oracle: $(value d/retrain/result.json forget_acc)"
finish
