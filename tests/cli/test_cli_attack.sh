# lethe attack: keys, files, exit codes, the same bits for any batch and number of threads.
. "$(dirname "$0")/lib.sh"

run 0 train $tiny --epochs 12 --seed 1 --out base --quiet
run 0 train $tiny --epochs 12 --seed 2 --out other --quiet
run 0 attack base --attack pgd --eps 8/255 --steps 10 --limit 40 --threads 1 --save a.npz --json
json out clean_acc robust_acc success_rate mean_l2 median_l2 images_per_s robust_interval queries_f queries_b flags attacks
[ -s a.npz ] || fail "no file of examples"
contains out '"attack": "pgd"'

# Every attack by name.
for a in fgsm bim mi-fgsm apgd-ce apgd-dlr apgd-t fab-t square; do
    run 0 attack base --attack $a --eps 4/255 --steps 3 --limit 8 --threads 1 --json
done
for a in deepfool fmn amun-search; do
    run 0 attack base --attack $a --norm l2 --steps 5 --limit 8 --threads 1 --json
done
# Attacks of minimum norm speak of distances, not of a radius.
run 0 attack base --attack ddn,cw --norm l2 --steps 5 --limit 40 --threads 1
contains out "nearest examples in l2"
contains out "distance, l2     median"
lacks out "radius"
lacks out "robust"
run 0 attack base --attack deepfool --steps 5 --limit 40 --threads 1 --report near.html --json
json out mean_distance median_distance n_found robust_acc mean_l2
contains out '"eps": null'
contains near.html "Median distance"
run 0 attack base --attack fgsm --limit 4 --threads 1
contains out "radius 8/255"
contains out "robust accuracy"

# Published settings, below what is given.
run 0 attack base --preset madry --show-config
contains out "eps = 8/255"
contains out "step-size = 0.00784313725490196"
contains out "steps = 20"
contains out "# preset madry"
run 0 attack base --preset lotos --attack mi-fgsm --eps 8/255 --show-config
contains out "eps = 8/255"
contains out "step-ratio = 0.1"
contains out "steps = 50"
run 0 attack base --preset madry --steps 3 --limit 8 --threads 1 --json
same "steps of its own: passes" 1 "$(awk -v b="$(value out queries_b)" 'BEGIN { print (b <= 24) }')"
run 0 attack base --preset lotos --attack cw --steps 5 --limit 2 --threads 1 --json
contains out '"norm": "l2"'
error 2 "unknown preset 'madri'" attack base --preset madri
error 2 "expected attacks among" attack base --preset madry --attack autoattack
error 2 "a normalisation" attack base --preset lotos
contains err "no-legacy-normalized"
run 0 attack base --preset lotos --no-legacy-normalized --limit 4 --threads 1 --json
contains out '"eps": "0.04"'

# A randomised model: what was given is not advised again.
run 0 attack base --attack pgd --steps 2 --limit 4 --threads 1 --model-noise 0.1
contains out "F1-randomised"
contains out "use --eot"
run 0 attack base --attack pgd --steps 2 --limit 4 --threads 1 --model-noise 0.1 --eot 3
contains out "F1-randomised"
lacks out "use --eot"
run 0 attack base base --combine vote --attack pgd --steps 2 --limit 4 --threads 1 --json

# Other models: as surrogates, and every one against every one.
run 0 attack base --surrogate other --attack mi-fgsm --eps 16/255 --limit 20 --threads 1 --json
json out robust_acc surrogates
run 0 attack base other --transfer-matrix --attack fgsm --eps 16/255 --limit 20 --threads 1 --json
json out transfer transfer_numerator transfer_eligible both_right
run 0 attack base other --transfer-matrix --attack fgsm --eps 16/255 --limit 20 --threads 1
contains out "crafted on the row"

# The same bits whatever the batch and the threads.
for bt in "1 1" "7 2" "128 1" "128 2"; do
    set -- $bt
    run 0 attack base --attack pgd,square --eps 4/255 --steps 8 --limit 20 --batch $1 --threads $2 --deterministic --save s.npz --json
    [ -e first.npz ] || cp s.npz first.npz
    cmp -s first.npz s.npz || fail "batch $1, $2 threads: other examples"
done

# The curve over radii, a picture and a page.
run 0 attack base --attack bim --eps 16/255 --steps 10 --limit 20 --threads 1 --radii 0,4/255,16/255 --picture p.png --report r.html --json
json out curve
[ "$(head -c 4 p.png | tail -c 3)" = PNG ] || fail "--picture: no PNG"
contains r.html "Accuracy against the radius"
undrawn() { # undrawn WORDS ARGS...: the picture is refused, the numbers are printed
    words=$1
    shift
    "$LETHE" "$@" --json >out 2>err && fail "$*: a picture that cannot be drawn"
    contains err "$words"
    json out robust_acc
}
# A picture that cannot be drawn costs no numbers; a file that cannot be written is noticed before the attack.
undrawn "at least one adversarial example" attack base --attack fgsm --eps 0 --limit 4 --threads 1 --picture none.png
error 1 "picture: cannot write nowhere/p.png" attack base --attack fgsm --limit 4 --threads 1 --picture nowhere/p.png
lacks err "attacking"
error 2 "ascending radii" attack base --attack bim --limit 4 --threads 1 --radii 4/255,1/255

# Forgotten samples are drawn only when that is asked for; the model before unlearning has forgotten nothing.
awk 'BEGIN { for (i = 0; i < 20; i++) print i }' >ids.csv
run 0 unlearn base --method ft --epochs 1 --forget file:ids.csv --threads 1 --out unlearned --quiet
bim="--split train --attack bim --eps 32/255 --steps 10 --threads 1"
undrawn "all of forgotten samples" attack unlearned $bim --limit 20 --picture no.png
[ ! -e no.png ] || fail "a picture of forgotten samples"
run 0 attack unlearned $bim --limit 20 --report page.html --json
lacks page.html "data:image"
run 0 attack unlearned $bim --limit 20 --picture asked.png --with-images --json
run 0 attack unlearned $bim --limit 60 --picture kept.png --json
run 0 attack unlearned $bim --limit 60 --picture all.png --with-images --json
cmp -s kept.png all.png && fail "pictures of forgotten samples are among the first ones"
run 0 attack base $bim --limit 20 --picture base.png --json
undrawn "all of forgotten samples" attack base --surrogate unlearned $bim --limit 20 --picture no.png

# No example lies within the certified radius of a sample.
run 0 attack base --attack ddn --norm l2 --steps 20 --limit 20 --threads 1 --certify --json
same "broken certificates" 0 "$(value out n_certificates_broken)"

# Radius 0 changes nothing.
run 0 attack base --attack pgd --eps 0 --steps 3 --limit 20 --threads 1 --json
contains out '"success_rate": 0.0'

# Two classes: replacement losses, said by a flag, which --strict turns into exit code 6.
run 0 train --data synthetic,train-limit=200,test-limit=40,classes=0+1 --model simple-conv:width=8 --batch 50 --threads 1 --epochs 4 --out two --quiet
run 0 attack two --attack apgd-dlr,apgd-t --eps 8/255 --steps 3 --limit 10 --threads 1 --json
contains out "F5-classes"
run 6 attack two --attack apgd-t --eps 8/255 --steps 3 --limit 10 --threads 1 --strict --json
contains err "F5-classes"

error 2 "unknown attack 'pdg'" attack base --attack pdg
error 2 "eps: expected a number" attack base --eps x/255
error 2 "attack ddn: expected norm l2, found linf" attack base --attack ddn
error 2 "makes sets for unlearning" attack base --attack fgsm-line-search
error 2 "expected RUN" attack
error 3 "missing" attack missing
# Files of another kind are not overwritten.
for option in save picture report; do
    cp base/model.safetensors precious
    error 2 "--$option precious: expected " attack base --limit 4 --$option precious
    cmp -s precious base/model.safetensors || fail "--$option overwrote a model"
done
finish
