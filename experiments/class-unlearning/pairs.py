#!/usr/bin/env python3
"""Every row of a class study less one of them, in pairs of the same class and original, in Markdown.

    pairs.py SUMMARY.json... ROW       SUMMARY: what study_table.py writes; ROW: such as trw-3

Points of per cent, mean and half of the 95 % interval over the pairs (Student's t). Positive: farther from the retrained models.
"""
import sys

from audits import half_width, mean, percent

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, read_json

MEASURES = ("gap", "TV", "TV of means")


def difference(summary, pair, row, other, measure):
    return summary[f"{pair}-{row}"][measure] - summary[f"{pair}-{other}"][measure]


need_arguments(2, "SUMMARY.json... ROW")
summary = {}
for name in sys.argv[1:-1]:
    summary |= read_json(name)
other = sys.argv[-1]
keys = [k.split("-", 2) for k in summary]
rows = sorted({r for _, o, r in keys if o != "retrained"})
if other not in rows:
    sys.exit(f"pairs: no row {other}: {', '.join(rows)}")
print(f"| less {other} | pairs | " + " | ".join(MEASURES) + " |\n" + "|---" * (len(MEASURES) + 2) + "|")
for row in rows:
    pairs = [f"{c}-{o}" for c, o, r in keys if r == row and f"{c}-{o}-{other}" in summary and o != "retrained"]
    if row == other or not pairs:
        continue
    cells = []
    for measure in MEASURES:
        values = [difference(summary, pair, row, other, measure) for pair in pairs]
        width = half_width(values)
        cells.append(percent(mean(values)) + ("" if width is None else f" ± {percent(width)}"))
    print(f"| {row} | {len(pairs)} | " + " | ".join(cells) + " |")
