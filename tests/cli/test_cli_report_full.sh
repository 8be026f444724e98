# The page of a small study in a real browser: no errors on the console, nothing too wide at phone and desk width, no
# labels clipped or over one another, readable in light and dark. Skipped where there is no Chromium.
. "$(dirname "$0")/lib.sh"
browser=
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null 2>&1 && browser=$name && break
done
[ -n "$browser" ] || {
    echo "skipped: no Chromium on this machine (Debian: apt-get install chromium)"
    exit 77
}

run 0 train $tiny --epochs 3 --out base
for seed in 2 3; do
    run 0 unlearn base --method retrain --seed $seed --out retrain-$seed --threads 1
    run 0 unlearn base --method ft --epochs 2 --seed $seed --out ft-$seed --threads 1
done
run 0 unlearn base --method amun --save-adv --epochs 2 --out amun --threads 1
run 0 unlearn base --method amun --save-adv --epochs 2 --lr 0.02 --out "amun with <other> & options" --threads 1
run 0 store train $tiny --epochs 3 --count 4 --seed 0
run 0 store signals $tiny --epochs 3 --count 4 --seed 0 --samples-from amun/signals.npz --out refs.npz
cat >depth.json <<'END'
{"run": "amun", "depth": {
 "probe": [
  {"stage": "stem", "membership_auc": {"original": 0.55, "unlearned": 0.52, "retrained": [0.5, 0.51]},
   "class_acc": {"original": 0.3, "unlearned": 0.28, "retrained": [0.29, 0.31]}},
  {"stage": "a stage with a long name", "membership_auc": {"original": 0.7, "unlearned": null, "retrained": []},
   "class_acc": {"original": 0.9, "unlearned": 0.8, "retrained": [0.75]}}],
 "cka": [{"stage": "stem", "to_original": 0.99, "to_retrained": [0.9, 0.92], "retrained_pair": 0.93},
         {"stage": "logits", "to_original": 0.8, "to_retrained": [-0.02], "retrained_pair": null}],
 "relearn": {"steps": [0, 1, 2, 4, 8],
  "forget_acc": {"unlearned": [0.5, 0.6, 0.7, 0.8, 0.9], "original": [0.9, 0.92, 0.94, 0.96, 0.98],
                 "retrained": [[0.4, 0.45, 0.5, 0.55, 0.6], [0.42, 0.46, 0.5, 0.56, 0.62]]},
  "test_acc": {"unlearned": [0.4, 0.4, 0.39, 0.39, 0.38], "original": [0.41, 0.41, 0.4, 0.4, 0.4], "retrained": [[0.4, 0.4, 0.4, 0.4, 0.39]]}}}}
END
mkdir stream
echo '{"method": "amun", "requests": [{"fr_minus_ft_auc": 0.06, "cumulative": {"fr_minus_ft_auc": 0.05}},
 {"fr_minus_ft_auc": 0.04, "cumulative": {"fr_minus_ft_auc": null}}, {"fr_auc": 0.55, "ft_auc": 0.53}]}' >stream/result.json
runs="retrain-2 retrain-3 ft-2 ft-3 amun stream"
run 0 report $runs "amun with <other> & options" --references refs.npz --audit-json depth.json --out page.html --json
json out report n_forget lint rows.0.rmia.ft_auc rows.3.verdict.overall rows.3.null_band.ua.low rows.3.interval.ua.0 rows.3.lint rows.3.seed
contains page.html "Representation audit"
contains page.html "Sequential requests"
contains page.html "amun with &lt;other&gt; &amp; options"
contains page.html "null band"
lacks page.html "<script"
lacks page.html "http"

# measure PAGE WIDTH [FLAG...]: what measure.html found, from its title
measure() {
    page=$1 width=$2
    shift 2
    sed -e "s|@PAGE@|file://$work/$page|" -e "s|@WIDTH@|$width|g" "$SOURCE/tests/cli/measure.html.in" >measure.html
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --allow-file-access-from-files \
        --virtual-time-budget=5000 "$@" --dump-dom "file://$work/measure.html" 2>/dev/null | sed -n 's|.*<title>\(.*\)</title>.*|\1|p'
}
for width in 360 1280; do
    same "page at $width px" "$(measure page.html $width)" "light: fine"
done
same "dark page" "$(measure page.html 1280 --blink-settings=preferredColorScheme=0)" "dark: fine"
timeout 120 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile" --enable-logging=stderr \
    --print-to-pdf="$work/page.pdf" "file://$work/page.html" >/dev/null 2>console
! grep -q CONSOLE console || fail "errors on the console: $(grep CONSOLE console | head -2)"
[ "$(head -c 5 page.pdf 2>/dev/null)" = "%PDF-" ] || fail "the page cannot be printed"

# the measure itself: it must see what it is there for
sed 's|</main>|<div style="width:2000px">wide</div><svg></svg></main>|' page.html >wide.html
case $(measure wide.html 1280) in
*"scrolls sideways"*) ;;
*) fail "a page that is too wide was not noticed" ;;
esac
sed 's|</desc>|</desc><text x="60" y="60">one label</text><text x="62" y="61">another label</text>|' page.html >over.html
case $(measure over.html 360) in
*overlap*) ;;
*) fail "labels over one another were not noticed" ;;
esac

# other forms and what is refused
run 0 report $runs --format csv --out numbers.csv
contains numbers.csv "^section,model,setting,seed,run,quantity,value,low,high,text$"
contains numbers.csv '^figure,"AMUN","with retained data","1","amun","ua",'
contains numbers.csv '^request_fr_minus_ft_auc,"amun","","","","3",0.02'
run 0 report $runs --format md
contains report.md "^## gap$"
run 0 report stream --out only.html
contains only.html "Sequential requests"
lacks only.html "Comparison with retraining"
error 3 "nowhere.json" report amun --audit-json nowhere.json
error 2 "none of the runs of this report" report retrain-2 ft-2 --audit-json depth.json --out x.html
echo '{"ua": 1}' >bad.json
error 3 "bad.json: expected the result of an audit" report amun --audit-json bad.json --out x.html
echo '{"run": ' >bad.json
error 3 "bad.json:" report amun --audit-json bad.json --out x.html
error 2 "expected one of" report amun --format pdf --out x.html
error 2 "unknown membership attack 'rmai'" report amun --attacks rmai --out x.html
error 2 "needs the outputs of reference models" report amun --attacks lira --out x.html
[ ! -e x.html ] || fail "a report that failed left a file"
finish
