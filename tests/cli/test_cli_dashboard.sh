# `lethe serve` as docs/howto/dashboard.md tells it: its commands are run, with another port.
. "$(dirname "$0")/lib.sh"
"$LETHE" doctor | grep -q "dashboard *present" || {
    echo "skipped: this build has no web server (Debian: apt-get install libmicrohttpd-dev)"
    exit 77
}
command -v curl >/dev/null 2>&1 || {
    echo "skipped: no curl on this machine"
    exit 77
}
sed -n '/^```sh$/,/^```$/p' "$SOURCE/docs/howto/dashboard.md" | sed '/^```/d' >commands
[ "$(grep -c '^lethe serve runs$' commands)" = 1 ] || fail "the page does not start a server"
sed '/^lethe serve/,$d' commands >before.sh
sed '1,/^lethe serve/d' commands >after.sh
lethe() { "$LETHE" "$@"; }
. ./before.sh >out 2>err || fail "commands before the server"

"$LETHE" serve runs --port 0 >url 2>serve.log &
server=$!
trap 'kill -INT $server 2>/dev/null; wait $server; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    [ ! -s url ] || break
    sleep 0.1
done
contains url "^http://127.0.0.1:[0-9]*/#token=[0-9a-f]\{64\}$"
base=$(sed 's|/#.*||' url)
same "token" "$(cat runs/.lethe/token)" "$(sed 's/.*token=//' url)"
same "mode of the token" "$(ls -l runs/.lethe/token | cut -c1-10)" "-rw-------"

sed -i "s|http://127.0.0.1:8737|$base|; s|^curl -s |curl -s --max-time 60 |" after.sh
. ./after.sh >answers 2>err || fail "commands after the server: $(cat err)"
contains answers '"n_forget":3,'
contains answers '"id":1'
contains answers '"title":"Forget 3 samples of base with ft"'
for _ in $(seq 200); do
    curl -s "$base/api/queue" >queue
    grep -q '"state":"\(queued\|running\)"' queue || break
    sleep 0.1
done
contains queue '"state":"done"'
[ -f runs/request-1/DONE ] || fail "the request left no finished run"
same "forgotten samples" "$(value runs/request-1/result.json n_forget)" 3
curl -s "$base/api/run?dir=request-1" >run.json
json run.json state result.method metrics.0.epoch resolved.method.value

# what is refused, from outside
refuse() { # refuse CODE CURL-ARGS...
    want=$1
    shift
    got=$(curl -s --max-time 20 -o answer -w '%{http_code}' "$@")
    [ "$got" = "$want" ] || fail "curl $*: $got, expected $want: $(head -c 300 answer)"
}
order='{"kind": "train", "data": "synthetic"}'
refuse 401 "$base/api/queue" -H 'Content-Type: application/json' -d "$order"
refuse 401 "$base/api/queue" -H 'Content-Type: application/json' -H "Authorization: Bearer $(echo "$token" | tr 0-9a-f 1-9a-f0)" -d "$order"
refuse 403 "$base/api/queue" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" -H 'Origin: http://evil.example' -d "$order"
refuse 403 "$base/" -H 'Host: evil.example'
refuse 403 "$base/api/forgotten?dir=request-1" -H "Authorization: Bearer $token"
refuse 400 --path-as-is "$base/report?path=../runs/x.html"
refuse 404 --path-as-is "$base/../../etc/passwd"
refuse 405 -X DELETE "$base/api/queue"
refuse 413 "$base/api/queue" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" -d "$(head -c 70000 /dev/zero | tr '\0' x)"
refuse 422 "$base/api/queue/check" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" \
    -d '{"run": "base", "method": "ft", "forget_kind": "list", "forget": "not-there.png"}'
contains answer '"the list:1: .not-there.png. is neither'
refuse 400 "$base/api/queue/check" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" \
    -d '{"run": "base", "method": "fft", "forget_kind": "class", "forget": "1"}'
error 1 "another .lethe serve. has this queue" serve runs --port 0
error 2 "expected an address" serve other --listen nowhere
error 2 "expected one directory" serve a b
[ -z "$(find runs/.lethe/queue -name 'check-*')" ] || fail "a check left its list behind"

# a job that runs when the server ends goes on with the next server
curl -s "$base/api/queue" -H 'Content-Type: application/json' -H "Authorization: Bearer $token" \
    -d '{"kind": "train", "data": "synthetic,train=1000,test=50", "model": "simple-conv:width=8", "name": "long", "options": {"epochs": 4}}' >answer
for _ in $(seq 200); do
    [ ! -f runs/long/progress.json ] || break
    sleep 0.05
done
kill -INT $server
wait $server || fail "the server did not end well: $(cat serve.log)"
"$LETHE" serve runs --port 0 --json >url 2>serve.log &
server=$!
for _ in $(seq 300); do
    [ ! -f runs/long/DONE ] || break
    sleep 0.1
done
[ -f runs/long/DONE ] || fail "the job did not go on: $(cat runs/.lethe/queue/*.log)"
# the run closes its directory after it has written DONE: not at once, but soon
for _ in $(seq 100); do
    [ -f runs/long/progress.json ] || break
    sleep 0.1
done
[ ! -f runs/long/progress.json ] || fail "progress.json outlived the run"
json url url port token_file root
same "the token stays" "$token" "$(cat runs/.lethe/token)"
finish
