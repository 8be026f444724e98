# ablation.awk - test and forget accuracy after fine-tuning on each substitute of the adversarial set alone.
BEGIN { FS = ","; print "\n| substitute | TA % | UA % |"; print "|---|---|---|" }
NR > 1 {
    if (!($2 in n)) order[++keys] = $2
    n[$2]++; ta[$2] += 100 * $3; ta2[$2] += 1e4 * $3 * $3; ua[$2] += 100 * $4; ua2[$2] += 1e4 * $4 * $4
}
function sd(sum, square, m) { v = m > 1 ? (square - sum * sum / m) / (m - 1) : 0; return sqrt(v > 0 ? v : 0) }
END {
    for (k = 1; k <= keys; k++) {
        p = order[k]
        printf "| %s | %.1f ± %.1f | %.1f ± %.1f |\n", p, ta[p] / n[p], sd(ta[p], ta2[p], n[p]), ua[p] / n[p], sd(ua[p], ua2[p], n[p])
    }
}
