# The tables of experiments/amun-cifar10-whole are remade from the stored outputs alone, within a fifth of a point.
. "$(dirname "$0")/lib.sh"
study=$SOURCE/experiments/amun-cifar10-whole
[ -d "$study/results/outputs" ] || {
    echo "skipped: no outputs are stored in experiments/amun-cifar10-whole/results"
    exit 77
}
command -v python3 >/dev/null 2>&1 || {
    echo "skipped: no Python on this machine"
    exit 77
}
python3 "$study/tables.py" "$LETHE" "$study/results" made >/dev/null 2>err || fail "tables.py: $(head -3 err)"
python3 - made/table.csv "$study/results/table.csv" <<'END' || fail "the tables differ"
import csv
import sys

made, recorded = ([*csv.DictReader(open(path, encoding="utf-8"))] for path in sys.argv[1:])
if len(made) != len(recorded) or not made:
    sys.exit(f"{len(made)} rows instead of {len(recorded)}")
for m, r in zip(made, recorded):
    for column, value in r.items():
        if m[column] == value:
            continue
        try:
            near = abs(float(m[column]) - float(value)) < 0.2
        except ValueError:
            near = False
        if not near:
            sys.exit(f"{r['method']} {r['access']}: {column} is {m[column]} instead of {value}")
END
finish
