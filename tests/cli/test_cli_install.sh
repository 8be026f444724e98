# cmake --install with DESTDIR: the command runs from there, every public header compiles alone as C11 and as C++, and a
# program builds and runs against the shared and the static library with what pkg-config says.
. "$(dirname "$0")/lib.sh"
[ -n "${BUILD:-}" ] && [ -f "$BUILD/cmake_install.cmake" ] && [ -z "${SANITIZE:-}" ] && command -v cmake >/dev/null 2>&1 || exit 77
root=$work/root
DESTDIR=$root cmake --install "$BUILD" --prefix /usr >log 2>&1 || { tail -5 log >&2; fail "cmake --install fails"; finish; }
libdir=$(dirname "$(find "$root" -name liblethe.a)")
for file in "$root/usr/bin/lethe" "$libdir/liblethe.so" "$libdir/pkgconfig/lethe.pc" "$root/usr/include/lethe/lethe.h" \
    "$root/usr/share/man/man1/lethe.1" "$root/usr/share/bash-completion/completions/lethe" \
    "$root/usr/share/zsh/site-functions/_lethe" "$root/usr/share/fish/vendor_completions.d/lethe.fish"; do
    [ -s "$file" ] || fail "not installed: ${file#"$root"}"
done
LETHE=$root/usr/bin/lethe run 0 --version
contains out '^lethe [0-9]'
! grep -rq "$SOURCE" "$libdir/pkgconfig/lethe.pc" "$root/usr/include" || fail "an installed file names the source tree"

if command -v readelf >/dev/null 2>&1; then
    readelf --dyn-syms --wide "$libdir/liblethe.so" | awk '$5 == "GLOBAL" && $7 != "UND" && $8 !~ /@@?LETHE_0$/ && $8 !~ /^LETHE_0/ { print $8 }' >plain
    [ ! -s plain ] || fail "symbols of liblethe.so without a version: $(head -3 plain | tr '\n' ' ')"
fi

for header in "$root"/usr/include/lethe/*.h; do
    name=lethe/$(basename "$header")
    printf '#include "%s"\nint main(void) { return 0; }\n' "$name" >one.c
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$root/usr/include" one.c 2>err || fail "$name does not compile as C11"
    ! command -v c++ >/dev/null 2>&1 ||
        c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -x c++ -I"$root/usr/include" one.c 2>err || fail "$name does not compile as C++"
done

# the program of docs/library.md
sed -n '/^```c$/,/^```$/p' "$SOURCE/docs/library.md" | sed '/^```/d' >program.c
if command -v pkg-config >/dev/null 2>&1; then
    export PKG_CONFIG_PATH="$libdir/pkgconfig"
    # shellcheck disable=SC2046
    cc program.c -o shared $(pkg-config --cflags --libs lethe) 2>err || fail "a program does not link with pkg-config --libs lethe"
    LD_LIBRARY_PATH=$libdir ./shared >shared.out || fail "a program of the shared library fails"
    same "version in pkg-config and in the library" "$(sed 's/:.*//' shared.out)" "$(sed -n 's/^Version: //p' "$libdir/pkgconfig/lethe.pc")"
    contains shared.out 'test accuracy 0\.'
    # shellcheck disable=SC2046
    cc program.c -o static -I"$root/usr/include" "$libdir/liblethe.a" $(pkg-config --libs --static lethe | sed 's/-llethe//') 2>err ||
        fail "a program does not link with the static library"
    same "a program of the static library" "$(./static)" "$(cat shared.out)"
fi
finish
