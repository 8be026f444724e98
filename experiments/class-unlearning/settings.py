#!/usr/bin/env python3
"""A study file with the settings that a search has chosen in the place of the search.

    settings.py CHOSEN.json STUDY.yaml >TUNED.yaml

CHOSEN.json is the file of that name that `lethe sweep` leaves. Parts of a study that run elsewhere need not search again.
"""
import re
import sys

sys.path.append(f"{sys.path[0]}/../../tools")
from plain_errors import need_arguments, read_json

need_arguments(2, "CHOSEN.json STUDY.yaml")
chosen = {(x["method"], x["access"]): x["options"] for x in read_json(sys.argv[1]) if x["chosen"]}
is_search = False
for line in open(sys.argv[2]):
    is_search = line.startswith("tuning:") or (is_search and line.startswith(" "))
    if is_search:
        continue
    row = re.match(r"  - \{name: ([\w-]+), .*access: \[([\w-]+)\]", line)
    if row and ", grid: {" in line:
        if row.groups() not in chosen:
            sys.exit(f"settings.py: {sys.argv[1]} has no settings of {row[1]}")
        found = ", ".join(f"{k}: {v}" for k, v in (pair.split("=", 1) for pair in chosen[row.groups()].split()))
        line = re.sub(r", grid: \{.*?\}", "", line)
        line = line.replace("options: {", f"options: {{{found}, ") if "options: {" in line else line.replace("]}", f"], options: {{{found}}}}}")
    print(line, end="")
