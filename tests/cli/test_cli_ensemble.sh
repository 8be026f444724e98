# lethe ensemble: training with LOTOS and clipping, transfer matrix, surrogates, members as models of their own, refusals.
. "$(dirname "$0")/lib.sh"

small="--data synthetic:train=120,test=40 --epochs 1 --threads 1"
run 0 ensemble train --members simple-conv:width=3,bn=0,simple-conv:width=3,bn=0 $small --out plain --json
json out members.1.test_acc acc epochs
run 0 ensemble train --members simple-conv:width=3,bn=0,simple-conv:width=2,bn=0 $small --method lotos --clip-norm 1 --out both
contains out "ensemble: test accuracy"
run 0 ensemble eval both --eps 4/255 --steps 3 --limit 20 --surrogates plain --threads 1 --report page.html --json
contains page.html "Transfer between members"
json out transfer.1.0 robust_acc acc black_box.1 transfer_eligible.0.0 mean_transfer
run 0 norms both/member-0.safetensors --no-upper --json
run 0 attack both/member-0.safetensors both/member-1.safetensors --data synthetic:train=120,test=40 --attack fgsm --limit 10 --json
error 2 "members" ensemble train $small
error 2 "lotos" ensemble train --members simple-conv,simple-conv $small --method lotus
error 3 "nowhere" ensemble eval nowhere
error 3 "single model" ensemble eval both/member-0.safetensors
# An ensemble is a target of attacks by its directory; aimed at a class, the counts say so.
run 0 attack both --data synthetic:train=120,test=40 --attack fgsm --limit 10 --json
json out models.1 robust_acc
run 0 attack plain both --data synthetic:train=120,test=40 --attack fgsm --limit 10 --transfer-matrix --target next --json
json out transfer_eligible.3.0 both_right.0.3 target
run 0 ensemble eval plain --preset madry --steps 2 --show-config
contains out "step-size = 0.00784313725490196"
contains out "^steps = 2 "
error 2 "a normalisation" ensemble eval plain --preset lotos --limit 10 --threads 1
run 0 ensemble eval plain --preset lotos --no-legacy-normalized --steps 2 --limit 10 --threads 1 --json
contains out '"eps": "0.04"'
run 0 ensemble eval plain --attack fgsm --eps 8/255 --limit 20 --target next --threads 1 --json
same "the target" "$(value out target)" next
finish
