# table.awk - mean and standard deviation over the seeds, from the CSV files of `lethe report` (one per seed). Rows are
# named after their run directories: METHOD[-advonly][-df].
BEGIN {
    FS = ","
    print "| model | may read | UA % | RA % | TA % | MIS % | FT phi AUC % | gap (MIS) | gap (phi AUC) |"
    print "|---|---|---|---|---|---|---|---|---|"
}
FNR == 1 { next }
{
    gsub(/"/, ""); sub(/\/$/, ""); sub(/.*\//, "", $NF)
    key = $NF
    if (!(key in n)) order[++keys] = key
    n[key]++
    for (c = 3; c <= 9; c++)
        if ($c != "") { count[key, c]++; sum[key, c] += 100 * $c; square[key, c] += 1e4 * $c * $c }
}
function title(name) {
    if (name == "base") return "original | D_R, D_F"
    if (name == "retrain") return "retrain (oracle) | D_R"
    data = sub(/-df$/, "", name) ? "D_F" : "D_R, D_F"
    return (sub(/-advonly$/, "", name) ? name ", adversarial only" : name) " | " data
}
END {
    for (k = 1; k <= keys; k++) {
        line = "| " title(order[k])
        for (c = 3; c <= 9; c++) {
            m = count[order[k], c]
            if (!m) { line = line " | -"; continue }
            mean = sum[order[k], c] / m
            var = m > 1 ? (square[order[k], c] - m * mean * mean) / (m - 1) : 0
            line = line sprintf(" | %.2f ± %.2f", mean, sqrt(var > 0 ? var : 0))
        }
        print line " |"
    }
}
