// population.c - what `lethe train --population` prints.
#include "cli.h"
#include <stdlib.h>

void cli_print_population(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true, true, false, false, false, true}};
    size_t i;
    const json_t *m;
    cli_table_row(&t, "run", "state", "seed", "train %", "test %", "model digest");
    json_array_foreach(json_object_get(r, "members"), i, m)
    {
        char train_acc[24], test_acc[24];
        char *seed = cli_format("%.0f", cli_real(m, "seed")),
             *digest = cli_format("%.16s", cli_text(m, "model_digest"));
        cli_table_row(&t, cli_text(m, "run"), cli_text(m, "state"), seed,
                      cli_percent(cli_real(m, "train_acc"), train_acc), cli_percent(cli_real(m, "test_acc"), test_acc),
                      digest);
        free(seed);
        free(digest);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char test_acc[24];
    fprintf(out, "%.0f of %.0f models on %s: mean test accuracy %s %%; %.1f s, %.0f images/s with %.0f threads\n",
            cli_real(r, "n_finished"), cli_real(r, "population"), cli_text(r, "data"),
            cli_percent(cli_real(r, "test_acc"), test_acc), cli_real(r, "wall_s"), cli_real(r, "images_per_s"),
            cli_real(r, "n_workers"));
    fprintf(out, "%s%s\n", cli_text(r, "run"),
            json_object_get(r, "cached") ? " (finished before; --force recomputes it)" : "");
}
