#!/usr/bin/env python3
"""The gap of class-MIA of a class study, class by class, in Markdown.

    by_class.py SUMMARY.json ROW...       SUMMARY: what study_table.py writes; ROW: such as trw-3 or original

Points of per cent, means over the originals. "retrained": how far one retrained model is from the others. neighbour: the class that the
retrained models send the forgotten one to, by number.
"""
import sys

from audits import mean, percent

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import fail, need_arguments, read_json

need_arguments(2, "SUMMARY.json ROW...")
summary, rows = read_json(sys.argv[1]), sys.argv[2:]
keys = [k.split("-", 2) for k in summary]
known = sorted({r for _, o, r in keys if o != "retrained"})
for row in rows:
    if row not in known:
        fail(f"no row {row}: {', '.join(known)}")
print("| class | neighbour | retrained | " + " | ".join(rows) + " |\n" + "|---" * (len(rows) + 3) + "|")
for c in sorted({c for c, _, _ in keys}):
    of = lambda row: [summary[f"{a}-{o}-{r}"] for a, o, r in keys if a == c and (o == "retrained" if row is None else o != "retrained" and r == row)]
    retrained = of(None)
    cells = [percent(mean([v["gap"] for v in of(row)])) for row in rows]
    print(f"| {c} | {retrained[0]['neighbour']} | {percent(mean([v['gap'] for v in retrained]))} | " + " | ".join(cells) + " |")
