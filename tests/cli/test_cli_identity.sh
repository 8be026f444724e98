# Requests by file name, files that are deleted between requests, edited evidence, other data.
. "$(dirname "$0")/lib.sh"

run 0 data export synthetic,train-limit=60,test-limit=20 --format png --out photos
export LETHE_QUIET=0
run 0 train --data folder:photos --model simple-conv:width=4 --epochs 2 --batch 20 --threads 1 --out base
[ -s base/samples.safetensors ] || fail "the run does not remember its training set"
quick="--method ft --epochs 1 --lr 0.01 --no-augment --threads 1"

# Lines cut out of the list of samples are a forget list.
run 0 data list folder:photos
same "samples" "$(wc -l <out | tr -d ' ')" 61
same "head" "$(head -1 out)" "index,class,file,digest"
sed -n '1p;5p;9p' out >cut.csv
run 0 unlearn base --method ft --epochs 1 --lr 0.01 --no-augment --threads 1 --forget file:cut.csv --out cut
same "indices" "$(sed -n '2,3p' cut/forget.csv | tr '\n' ' ')" "3 7 "
sed -n '3p' cut.csv | sed 's/.*,//' >digest.txt
run 0 unlearn base --method ft --epochs 1 --lr 0.01 --no-augment --threads 1 --forget file:digest.txt --out cut --force
same "by digest" "$(sed -n 2p cut/forget.csv)" 7

# By name and by pattern; what names nothing is listed.
first=$(cd photos/train && ls -d */* | sed -n '3p')
second=$(cd photos/train && ls -d */* | sed -n '9p')
printf '%s\n' "$first" >request1.txt
run 0 unlearn base $quick --forget file:request1.txt --out one
same "one sample" "$(value one/result.json n_forget)" 1
same "its index" "$(sed -n 2p one/forget.csv)" 2
printf 'nobody.png\n%s\nghost.png\n' "$first" >bad.txt
error 3 "2 of its lines do not name one sample each: line 1: 'nobody.png' is no training sample; line 3" unlearn base $quick --forget file:bad.txt --out x
error 2 "no training sample has this name" unlearn base $quick --forget name:nobody.png --out x
run 0 unlearn base $quick --forget "name:$(dirname "$first")/*" --out pattern
[ "$(value pattern/result.json n_forget)" -gt 1 ] || fail "a pattern names one sample only"

# Evidence that somebody edited is refused: every file of the run, and the list of digests itself.
(cd pattern && find . -type f ! -name files.json ! -name DONE | sed 's,^\./,,') >files.txt
[ "$(wc -l <files.txt)" -ge 9 ] || fail "the run has lost files"
while IFS= read -r file; do
    cp -r pattern edited
    printf ' ' >>"edited/$file"
    error 4 "edited/$file: it was changed after the run" audit --quiet edited --oracle pattern
    rm -r edited
done <files.txt
cp -r pattern edited
sed 's/"signals.npz": "./"signals.npz": "x/' pattern/files.json >edited/files.json
error 4 "edited/files.json: it was changed after the run" audit --quiet edited --oracle pattern
rm -r edited

rm pattern/files.json
error 4 "pattern/files.json: expected the digests of the run's files, found no file" audit --quiet pattern --oracle pattern

# A request that names what it has: patterns in a stream, indices of other data in an evaluation.
printf 'name:*1.png\nname:*2.png\n' >requests.txt
run 0 unlearn base $quick --requests requests.txt --out named --json
same "requests by pattern" "$(value out n_requests)" 2
[ -s named/samples.safetensors ] && fail "a stream repeats the samples that its base remembers"
printf '0\n1\n' >indices.csv
for quiet in "" --quiet; do
    error 4 "none of its samples is one that base was trained on" \
        eval base $quiet --data synthetic,train-limit=30,test-limit=20,subset-seed=9 --forget file:indices.csv
done

# A checkpoint that is unlearned as a file: the child remembers what the file cannot.
says="--model resnet18:width=1 --normalize none"
pth="$SOURCE/tests/golden/checkpoints/plain-torch2.15.pth"
cp -r photos kept
run 0 unlearn "$pth" $says --data folder:kept $quick --forget name:*7.png --out child
[ -s child/samples.safetensors ] || fail "a run made from a file does not remember its training set"
rm "$(find kept/train -name '*7.png' | head -1)"
wanted=$(cd kept/train && ls -d */* | grep -v '7.png' | head -1)
run 0 unlearn child $quick --forget "name:$wanted" --out grandchild
contains err "samples found by content, 1 forgotten ones are gone"
"$LETHE" data list folder:photos | grep "/$wanted," | cut -d, -f1 >index
same "its index after the deletion" "$(sed -n 2p grandchild/forget.csv)" "$(cat index)"
for quiet in "" --quiet; do
    error 4 "none of its samples is one that child was trained on" \
        unlearn child $quick $quiet --data synthetic,train-limit=30,test-limit=20,subset-seed=9 --forget file:indices.csv --out x
done

# The files of the first request are deleted: the second one still means the right images, and indices are the old ones.
rm "photos/train/$first"
printf '%s\n' "$second" >request2.txt
run 0 unlearn one $quick --forget file:request2.txt --out two
contains err "samples found by content, 1 forgotten ones are gone"
same "its index after the deletion" "$(sed -n 2p two/forget.csv)" 8
same "retained" "$(value two/result.json n_retain)" 58
error 4 "no longer in folder:photos" audit --quiet one --oracle two

# A third request after the files of two are gone: what is forgotten and absent stays on record, even when it is all.
same "forgotten so far" "$(sed -n '2,$p' two/forgotten.csv | tr '\n' ' ')" "2 8 "
same "forgotten before" "$(value two/result.json n_forgotten_before)" 1
mv "photos/train/$second" gone.png
third=$(cd photos/train && ls -d */* | sed -n '20p')
printf '%s\n' "$third" >request3.txt
run 0 unlearn two $quick --forget file:request3.txt --out three
same "forgotten after three requests" "$(wc -l <three/forgotten.csv | tr -d ' ')" 4
same "retained after three requests" "$(value three/result.json n_retain)" 57
mv "photos/train/$third" third.png
fourth=$(cd photos/train && ls -d */* | sed -n '30p')
mv "photos/train/$fourth" fourth.png
error 4 "1 of the samples that three was trained on are not in it" unlearn three $quick --forget name:*0.png --out x
mv fourth.png "photos/train/$fourth"
mv third.png "photos/train/$third"
mv gone.png "photos/train/$second"
printf '2\n' >gone.csv
error 3 "index 2 is not in the training split" unlearn --quiet one $quick --forget file:gone.csv --out x

# A file that was not forgotten is missing; data of another origin; with and without --quiet.
error 4 "1 of the samples that base was trained on are not in it and have not been forgotten; the first is index 2" unlearn base $quick --forget file:request2.txt --out x
for quiet in "" --quiet; do
    error 4 "samples that base was trained on are not in it" unlearn base $quick $quiet --data synthetic,train-limit=40,test-limit=20 --forget random:3 --out x
done
[ ! -e x ] || fail "a refused request left a directory"
finish
