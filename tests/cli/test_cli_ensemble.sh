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
error 1 "member-0.safetensors" ensemble eval nowhere
finish
