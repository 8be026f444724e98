# Populations of chips that share trainings: groups of the options' number, every chip measured with its group's model,
# the chip's own model on its own and on another map, continued tables, refusals.
. "$(dirname "$0")/lib.sh"
export LETHE_CACHE=
run 0 train $tiny --epochs 1 --out base
run 0 quantize ptq base --bits 3 --bn-batches 2 --threads 1 --out q3 --json
json out float_tensors.0 touched_share
population="population q3 --chips 4 --fault-rate 0.1 --bn-batches 1 --epochs 1 --lr 0.02 --threads 1"
run 0 quantize $population --groups 2 --out groups --json
json out rows.grouped.mean rows.grouped.worst groups.0.0 groups.1.0 touched_share chips.row
same "the row that stands for the population" "$(value out chips.row)" grouped
same "the first chip's group" "$(value out groups.0.0)" 0
lacks out tuned
same "rows of chips.csv" "$(grep -c '^[0-9]' groups/chips.csv)" 4
contains groups/chips.csv "tuned,tuned-elsewhere,grouped"
grouped=$(value out rows.grouped.mean)
run 0 quantize $population --groups 2 --out groups --force --json
same "the same chips in the same groups" "$(value out rows.grouped.mean)" "$grouped"
run 0 quantize $population --groups 2 --out groups
contains out "group 0: chips 0"
run 0 quantize population q3 --chips 2 --fault-rate 0.1 --bn-batches 1 --epochs 1 --threads 1 --fine-tune --out tuned --json
json out rows.tuned.mean rows.tuned-elsewhere.mean
same "the row that stands for the population" "$(value out chips.row)" tuned
# A table of other options is not continued: not of another mapping, nor of another training of the chips.
chips="population q3 --chips 2 --fault-rate 0.1 --bn-batches 1 --threads 1"
for options in "--fine-tune --epochs 2 --method ste-reachable --lr 0.05" "" "--reference-column"; do
    run 0 quantize $chips $options --out tuned --force --json
    digits=$(grep '^[0-9]' tuned/chips.csv)
    rm -rf fresh
    run 0 quantize $chips $options --out fresh --json
    same "chips with '$options' where others were before" "$digits" "$(grep '^[0-9]' fresh/chips.csv)"
done
# Chips store codes as the run that made them, unless something else is asked for.
run 0 quantize train base --bits 3 --method ste-reachable --encoding sign-magnitude --fault-seed 9 --fault-rate 0.2 --epochs 1 --threads 1 --out signed
run 0 quantize population signed --chips 1 --fault-rate 0.2 --threads 1 --out signed-chips --json
same "encoding of the chips" "$(value out encoding)" sign-magnitude
same "seed of the chips" "$(value out fault_seed)" 9
digits=$(grep '^[0-9]' signed-chips/chips.csv)
run 0 quantize population signed --chips 1 --fault-rate 0.2 --threads 1 --encoding sign-magnitude --fault-seed 9 --out signed-given
same "the same by name" "$(grep '^[0-9]' signed-given/chips.csv)" "$digits"
lacks err "made for the encoding"
run 0 quantize population signed --chips 1 --fault-rate 0.2 --threads 1 --encoding offset --out signed-offset
contains err "made for the encoding sign-magnitude and are measured in offset"
# Workers that share a population share its groups too.
run 0 quantize $population --groups 2 --join --out joined --json
same "joined groups" "$(value out rows.grouped.mean)" "$grouped"
ls joined.chips | grep -q group- || fail "joined.chips has no file of a group"
run 0 quantize population q3 --chips 2 --fault-rate 0.1 --bn-batches 1 --threads 1 --chip-images 10 --out few --json
same "images that measure a chip" "$(value out chips.n_images)" 10
[ "$(awk -F, '/^[0-9]/ { for (i = 2; i <= 5; i++) if ($i * 10 != int($i * 10 + 0.5)) bad = 1 } END { print bad + 0 }' few/chips.csv)" = 0 ] ||
    fail "accuracies on 10 images are not tenths"
error 2 "as many groups as chips" quantize population q3 --chips 2 --fault-rate 0.1 --groups 3 --out none
error 2 "no spread of cells" quantize population q3 --chips 2 --fault-rate 0.1 --variability 0.1 --groups 2 --out none2

# A checkpoint of another program: what it was quantized with is what its runs are measured on.
run 0 convert base base.pth
model=$(sed -n 's/.*"model": *"\([^"]*\)".*/\1/p' base/result.json | head -n 1)
data=$(sed -n 's/.*"data": *"\([^"]*\)".*/\1/p' base/result.json | head -n 1)
run 0 quantize ptq base.pth --model "$model" --normalize none --data "$data" --bits 3 --bn-batches 2 --threads 1 --out foreign
run 0 eval foreign --integer --threads 1 --json
json out test_acc
finish
