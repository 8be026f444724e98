# `lethe ledger`: runs and audits are recorded, signed, exported and verified; what is changed is found.
. "$(dirname "$0")/lib.sh"
export OMP_NUM_THREADS=1 # of the matrix library; the runs say --threads 1
run 0 train $tiny --epochs 1 --out runs/base --json
json out ledger
same "the record of the training" "$(value out ledger.record)" 2
run 0 unlearn runs/base --method retrain --forget random:10% --out runs/oracle --threads 1 --quiet
run 0 unlearn runs/base --method ga --forget random:10% --epochs 1 --request-id 2031-17 --out runs/child --threads 1
contains err "recorded: .*lethe.db, record 4"
run 0 audit runs/child --oracle runs/oracle --allow-lint --json --threads 1
same "the record of the audit" "$(value out ledger.record)" 5
[ "$(stat -c %a "$LETHE_HOME/keys/sample.key")" = 600 ] || fail "the sample key can be read by others"

# What is there.
run 0 ledger list
contains out "2031-17"
contains out "5 records in"
run 0 ledger list --request 2031-17 --json
same "records of the request" "$(grep -c '"id"' out)" 1
run 0 ledger show 4 --json
json out id prev digest body
contains out '"not_proven"'
error 2 "from 1 to 5, found 9" ledger show 9
error 2 "expected the number of a record" ledger show x
error 2 "expected one of list, show" ledger
error 2 "found 'verfy'" ledger verfy

# A run that is recorded is not recorded again; one that was not can be.
run 0 train $tiny --epochs 1 --out runs/base --json
same "the record of a run that was finished" "$(value out ledger.record)" 2
run 0 train $tiny --epochs 1 --seed 9 --out runs/late --no-record --json
lacks out '"ledger"'
run 0 ledger record runs/base runs/late
contains out "runs/base: was recorded before as record 2"
contains out "runs/late: recorded as record 6"
mkdir unfinished
error 3 "expected a finished run" ledger record unfinished

# A ledger that cannot be written does not stop the work, unless it was requested.
mkdir -p bad/home
echo "this is no database; it is longer than the hundred bytes that the header of one takes, so that it is told from one" >bad/home/lethe.db
(export LETHE_HOME="$work/bad/home" && run 0 train $tiny --epochs 1 --seed 5 --out runs/kept --json && exit "$failures") || failures=1
contains err "not recorded: .*not a database.*lethe ledger record runs/kept"
[ -e runs/kept/DONE ] || fail "the run was lost"
error 3 "not a database" train $tiny --epochs 1 --seed 6 --out runs/never --ledger bad/home/lethe.db
[ ! -e runs/never ] || fail "work was done for a ledger that cannot be written"
run 0 ledger record runs/kept

# Signatures.
error 3 "expected a signing key, found no file" ledger sign
run 0 ledger keygen --json
json out key public_key fingerprint
key="$(value out key)" fingerprint="$(value out fingerprint)"
[ "$(stat -c %a "$key")" = 600 ] || fail "the secret key can be read by others"
error 2 "expected no file, found one" ledger keygen
run 0 ledger sign --json
head="$(value out signed_digest)"
secret=$(sed -n 2p "$key")
run 0 ledger verify --public-key "$key.pub" --head "$head" --replay --json
json out n_records signed_by trusted files_checked samples_checked replayed not_checked
same "the key that signed" "$(value out signed_by)" "$fingerprint"
same "runs that were repeated" "$(value out replayed)" 5
lacks out "$secret"
run 0 ledger keygen --key other.key
error 4 "expected a signature with the key" ledger verify --public-key other.key.pub
error 4 "records were cut off or replaced" ledger verify --head 1234
error 3 "found something else" ledger verify --public-key "$key"

# Receipts.
run 0 ledger export --request 2031-17 --out receipt.html
run 0 ledger export 4 --out receipt.json
run 0 ledger export --out all.json
run 0 ledger export 4
cmp -s out receipt.json || fail "the receipt on standard output is another one"
error 2 "expected no file, found one" ledger export 4 --out receipt.json
error 2 "ends with .html or .json" ledger export 4 --out receipt.pdf
error 2 "no run was recorded for the request 'x'" ledger export --request x
for file in receipt.html receipt.json all.json; do
    run 0 ledger verify $file --public-key "$key.pub" --json
    same "trust in $file" "$(value out trusted)" true
    error 4 "expected a signature with the key in" ledger verify $file --public-key other.key.pub
done
sed 's/Deletion receipt for/Deletion recelpt for/' receipt.html >changed.html
error 4 "changed.html: line [0-9]*: the text was changed" ledger verify changed.html
sed 's/"n_forget": 20/"n_forget": 21/' receipt.json >changed.json
error 4 "changed.json: record 4, field result: " ledger verify changed.json

# The files of runs, and other keys.
cp "$LETHE_HOME/keys/sample.key" sample.key
printf 'lethe-sample-key-1\n%064d\n' 1 >wrong.key
chmod 600 wrong.key
error 4 "record 3, field forget.samples.key: expected the sample key" ledger verify --sample-key wrong.key
run 0 ledger verify --sample-key nowhere.key
contains out "not checked: record 4: sample digests (no key at nowhere.key)"
cp runs/child/model.safetensors kept
printf x >>runs/child/model.safetensors
error 4 "record 4, field run.files.model.safetensors" ledger verify
run 0 ledger verify --no-files
cp kept runs/child/model.safetensors
mv runs/late moved
run 0 ledger verify
contains out "not checked: record 6: the files of .*runs/late are not available"

# A model file that says nothing of its data: what cannot be checked or repeated is said, and is no mismatch.
run 0 convert runs/base bare.pth
run 0 unlearn bare.pth --model simple-conv:width=8 --normalize none --data synthetic,train=200,test=100 --method ga \
    --forget random:5 --epochs 1 --threads 1 --out runs/bare
run 0 ledger verify --replay --json
same "digests of samples" "$(value out samples_checked)" 45
contains out "record [0-9]*: not repeated: "

# The chain by hand, without lethe.
if command -v python3 >/dev/null; then
    cat >chain.py <<'P'
import hashlib, json, sys
H = lambda *lines: hashlib.blake2b("".join(l + "\n" for l in lines).encode(), digest_size=32).hexdigest()
canonical = lambda v: json.dumps(v, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
prev = "0" * 64
for r in json.load(open(sys.argv[1]))["records"]:
    fields = {k: hashlib.blake2b(canonical(v).encode(), digest_size=32).hexdigest() for k, v in r["body"].items()}
    assert fields == r["fields"] and r["prev"] == prev, r["id"]
    prev = H("lethe-chain-1", str(r["id"]), prev, H("lethe-record-1", canonical(fields)))
    assert prev == r["digest"], r["id"]
print("in order")
P
    python3 chain.py all.json >out 2>err || fail "the chain is another one in Python"
    contains out "in order"
    cat >signature.py <<'P'
import json
receipt = json.load(open("all.json"))
s = receipt["signature"]
open("message", "w").write("lethe-signature-1\n%s\n%d\n%s\n%s\n" % (receipt["ledger"], s["of"], s["of_digest"], s["time"]))
open("signature", "wb").write(bytes.fromhex(s["signature"]))
P
    python3 signature.py || fail "the signed text cannot be put together"
    if openssl version 2>/dev/null | grep -q '^OpenSSL 3'; then
        openssl pkeyutl -verify -pubin -inkey "$key.pub" -rawin -in message -sigfile signature >out 2>err ||
            fail "OpenSSL does not accept the signature"
    fi
fi

if command -v openssl >/dev/null; then # the keys are OpenSSL's, too
    openssl pkey -in "$key" -pubout 2>/dev/null | cmp -s - "$key.pub" || fail "OpenSSL does not read the key"
    openssl genpkey -algorithm ed25519 -out made.key 2>/dev/null && chmod 600 made.key && run 0 ledger sign --key made.key
fi

# A finished run keeps the request of its record: another one is said not to be recorded, the same one is not mentioned.
run 0 unlearn runs/base --method ga --forget random:10% --epochs 1 --request-id 2031-17 --out runs/child --threads 1
lacks err "does not name the request"
run 0 unlearn runs/base --method ga --forget random:10% --epochs 1 --request-id other --out runs/child --threads 1
contains err "does not name the request 'other'"

# A byte of the file, and its end.
cp "$LETHE_HOME/lethe.db" copy.db
printf '\377' | dd of=copy.db bs=1 seek=4000 conv=notrunc 2>/dev/null
error 4 "copy.db" ledger verify copy.db
head -c 10000 "$LETHE_HOME/lethe.db" >copy.db
error 4 "copy.db" ledger verify copy.db
error 3 "expected a ledger, found no file" ledger verify nowhere.db
finish
