# ./run: the caller's directory is kept, the build shows how far it is, and a failure says what failed. A copy of the
# script works on a tree whose cmake, ninja and lethe are stand-ins.
. "$SOURCE/tests/cli/lib.sh"
mkdir -p "repo/src" "repo/cli" "repo/include" "repo/cmake" bin elsewhere
cp "$SOURCE/run" repo/run
touch repo/CMakeLists.txt repo/CMakePresets.json
cat >bin/cmake <<'S'
mkdir -p build/release && touch build/release/build.ninja
S
cat >bin/ninja <<'S'
[ ! -e broken ] || { echo '[1/2] one'; echo 'FAILED: two.o'; echo 'two.c:1: error: no such thing'; exit 1; }
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo "[$i/20] step $i"; done
mkdir -p build/release/cli
printf '#!/bin/sh\npwd\necho "$@"\n' >build/release/cli/lethe
chmod +x build/release/cli/lethe
echo built >>built
S
chmod +x bin/cmake bin/ninja
PATH=$work/bin:$PATH
cd elsewhere || exit 1

"$work/repo/run" lethe eval runs/base >out 2>err || fail "run lethe fails"
[ "$(sed -n 1p out)" = "$work/elsewhere" ] || fail "run lethe does not start in the directory of the caller: $(sed -n 1p out)"
[ "$(sed -n 2p out)" = "eval runs/base" ] || fail "run lethe does not pass on its arguments"
contains err '10 of 20 steps'
[ "$(wc -l <err)" -le 12 ] || fail "the build shows more than a line for each tenth"
"$work/repo/run" lethe doctor >out 2>err
"$work/repo/run" demo --quiet >out 2>err
[ "$(sed -n 2p out)" = "demo --quiet" ] || fail "run demo does not pass on its arguments"
same "builds of an unchanged tree" "$(grep -c built "$work/repo/built")" 1
sleep 0.05
touch "$work/repo/src/new.c"
"$work/repo/run" lethe doctor >out 2>err
same "builds after a change" "$(grep -c built "$work/repo/built")" 2

sleep 0.05 # file times have a resolution of some milliseconds
touch "$work/repo/broken" "$work/repo/src/newer.c"
! "$work/repo/run" lethe doctor >out 2>err || fail "run lethe succeeds although the build fails"
contains err 'no such thing'
contains err 'build failed'
[ ! -s out ] || fail "run lethe runs the old command after a failed build"
finish
