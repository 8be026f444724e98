# The example program: through public headers alone, from training to the report.
. "$(dirname "$0")/lib.sh"
"$EXAMPLE" made >said 2>err || fail "the example fails: exit code $?"
contains said "^base: train accuracy"
contains said "^amun: forget accuracy .* (before: "
contains said "from retraining$"
contains said "^report: made/report.html"
contains made/report.html "Comparison with retraining"
contains made/amun/resolved.json '"origin"'
"$EXAMPLE" made >again 2>err || fail "the example fails the second time"
cmp -s said again || fail "finished runs are not taken as they are"
[ "$(wc -l <"$SOURCE/examples/unlearn_audit.c" | tr -d ' ')" -le 150 ] || fail "the example is longer than 150 lines"
finish
