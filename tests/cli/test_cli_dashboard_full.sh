# The dashboard in a real browser: tests/cli/dashboard.py. Skipped where there is no Chromium, Python or web server.
# DASHBOARD_PICTURES=DIR keeps screenshots.
. "$(dirname "$0")/lib.sh"
browser=
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null 2>&1 && browser=$name && break
done
[ -n "$browser" ] || {
    echo "skipped: no Chromium on this machine (Debian: apt-get install chromium)"
    exit 77
}
command -v python3 >/dev/null 2>&1 || {
    echo "skipped: no Python on this machine"
    exit 77
}
"$LETHE" doctor | grep -q "dashboard *present" || {
    echo "skipped: this build has no web server (Debian: apt-get install libmicrohttpd-dev)"
    exit 77
}

run 0 train $tiny --epochs 2 --out runs/base
"$LETHE" serve runs --port 0 --with-images >url 2>serve.log &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    [ ! -s url ] || break
    sleep 0.1
done
contains url "^http://127.0.0.1:[0-9]*/#token=[0-9a-f]\{64\}$"
mkdir -p "${DASHBOARD_PICTURES:-pictures}"
python3 "$SOURCE/tests/cli/dashboard.py" "$(cat url)" "$browser" "$work/profile" "${DASHBOARD_PICTURES:-pictures}" 2>err || fail "the dashboard in the browser: $(head -20 err)"
kill -INT $server
wait $server || fail "the server did not end well"
finish
