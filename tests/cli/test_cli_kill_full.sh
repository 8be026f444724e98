# The short form of tests/kill/kill.sh: a few kills of each command.
. "$(dirname "$0")/lib.sh"
sh "$SOURCE/tests/kill/kill.sh" 5 7 >out 2>err || fail "a killed command did not end as an undisturbed one"
[ "$(grep -c 'ended with the same result' out)" = 5 ] || fail "not every command was killed"
finish
