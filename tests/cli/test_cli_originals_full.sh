# Runs of two originals, and of other data: refused side by side, each held against its own oracles, or an error.
. "$(dirname "$0")/lib.sh"

run 0 data export synthetic,train-limit=60,test-limit=20 --format png --out photos
export LETHE_QUIET=0
quick="--method ft --epochs 1 --lr 0.01 --no-augment --threads 1"

# Runs of two originals are not compared with one another.
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --seed 2 --out base2
run 0 unlearn base2 $quick --forget name:*1.png --out of-base2 --data folder:photos
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --seed 3 --out base3
run 0 unlearn base3 $quick --forget name:*1.png --out of-base3 --data folder:photos
error 2 "were made from different original models" report --quiet of-base2 of-base3 --out two.html
[ ! -e two.html ] || fail "a refused report left a file"
error 2 "base2 is not the original model that of-base3 was made from" report --quiet base2 of-base3 --out two.html

# An audit holds every run against the oracles of its own original; oracles of another one alone are an error.
for base in 2 3; do
    for seed in 1 2; do
        run 0 unlearn base$base --method retrain --seed $seed --threads 1 --forget name:*1.png --out oracle$base$seed
    done
done
run 0 audit --allow-lint of-base2 --oracle oracle21,oracle22 --threads 1 --bootstrap 20 --json
cp out alone2.json
run 0 audit --allow-lint of-base3 --oracle oracle31,oracle32 --threads 1 --bootstrap 20 --json
cp out alone3.json
run 0 audit --allow-lint of-base2 of-base3 --oracle oracle21,oracle22,oracle31,oracle32 --threads 1 --bootstrap 20 --json
for key in avg_gap verdict.overall null_band.ua.mean original.run original.ua oracles.1.run; do
    same "$key of the first of two originals" "$(value out $key)" "$(value alone2.json $key)"
    same "$key of the second of two originals" "$(value out also.0.$key)" "$(value alone3.json $key)"
done
contains err "of-base2: held against 2 of 4 oracles; the others were retrained for another original model"
run 6 audit of-base3 --oracle oracle21,oracle22 --threads 1 --bootstrap 20 --json
contains out '"oracle-other-original"'
contains out "oracle21 was retrained for another original model"

# Runs of other data are refused, as audited ones and as oracles.
run 0 train --data synthetic,train-limit=60,test-limit=20 --model simple-conv:width=4 --epochs 1 --batch 20 --threads 1 --out alien
run 0 unlearn alien $quick --forget random:5 --out of-alien
error 2 "of-base2 and of-alien were trained on different data sets" audit --quiet of-base2 of-alien
error 2 "of-base2 and of-alien were trained on different data sets" audit --quiet of-base2 --oracle of-alien
error 2 "made from different original models\|trained on different data sets" report --quiet of-base2 of-alien --out two.html
finish
