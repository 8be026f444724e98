// unlearn_audit.c - trains a model, unlearns a tenth of its samples, audits that against two retrained models, and
// writes the report.
//     unlearn_audit DIR [DATA]
#include "lethe/lethe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_RUNS = 4, EPOCHS = 3, PATH_MAX_BYTES = 4096 };
static const char forget[] = "random:10%";

typedef struct example {
    const char *dir;
    lt_dataset *ds;
    lt_compute compute;
    lt_env env;
    lt_trained_model base, run[N_RUNS]; // the base model; the original and what was made of it
    lt_comparison comparison;
} example;

static lt_status train_base(example *e)
{
    char dir[PATH_MAX_BYTES];
    lt_train_order order;
    lt_train_record record;
    snprintf(dir, sizeof dir, "%s/base", e->dir);
    lt_train_order_defaults(&order);
    order.what.data = e->ds->spec;
    order.what.model = "simple-conv:width=8";
    order.cfg.epochs = EPOCHS;
    order.cfg.batch = 64;
    order.cfg.augment = false;
    order.compute = e->compute;
    order.ds = e->ds;
    order.env = &e->env;
    order.out = dir;
    LT_TRY(lt_train_dir(&order, &record));
    printf("base: train accuracy %.3f, test accuracy %.3f\n", record.train_acc, record.test_acc);
    lt_train_record_clear(&record);
    return lt_trained_model_open(dir, NULL, NULL, &e->base);
}

// Leaves the run DIR/name and opens its model.
static lt_status unlearn(example *e, const char *method_name, const char *name, uint64_t seed, lt_trained_model *result)
{
    char dir[PATH_MAX_BYTES];
    const lt_unlearn_method *method;
    lt_unlearn_order order;
    lt_unlearn_record record;
    snprintf(dir, sizeof dir, "%s/%s", e->dir, name);
    LT_TRY(lt_unlearn_find(method_name, &method));
    void *cfg = calloc(1, method->cfg_size + 1);
    if (!cfg)
        return LT_FAIL(LT_E_NOMEM, "out of memory: options of %s", method_name);
    lt_unlearn_order_defaults(method, cfg, &order);
    order.what.forget = forget;
    order.seed = seed;
    order.compute = e->compute;
    order.base = &e->base;
    order.ds = e->ds;
    order.env = &e->env;
    order.out = dir;
    lt_status status = lt_unlearn_dir(&order, &record);
    free(cfg);
    LT_TRY(status);
    printf("%s: forget accuracy %.3f (before: %.3f), test accuracy %.3f\n", name, record.after.forget_acc,
           record.before.forget_acc, record.after.test_acc);
    lt_unlearn_record_clear(&record);
    return lt_trained_model_open(dir, NULL, NULL, result);
}

// A row of the comparison: what the model answers on the samples, and how an attacker sees it.
static lt_status add_row(example *e, const lt_trained_model *m, const lt_sample_sets *sets)
{
    lt_comparison_row *row;
    lt_signals *signals;
    lt_audit_cfg cfg;
    lt_options_defaults(lt_audit_options, &cfg);
    LT_TRY(lt_comparison_add(&e->comparison, &row));
    row->run = strdup(m->dir);
    row->method = strdup(lt_trained_model_text(m, "method"));
    lt_model_identify(m->model, &row->identity);
    lt_trained_model_effect(m, &row->effect);
    LT_TRY(lt_trained_model_signals(m, e->ds, sets, &e->env, &signals));
    return lt_audited_measure(NULL, &cfg, signals, &row->audited);
}

static lt_status audit_runs(example *e)
{
    char path[PATH_MAX_BYTES];
    lt_sample_sets sets;
    lt_verdict_cfg verdict;
    lt_report *report;
    lt_options_defaults(lt_verdict_options, &verdict);
    LT_TRY(lt_trained_model_sets(&e->run[0], e->ds, &(lt_forget_request){0}, &sets));
    lt_index_set_digest(e->ds, LT_TRAIN, &sets.forget, e->comparison.forget_digest);
    lt_status status = add_row(e, &e->base, &sets);
    for (int i = 0; i < N_RUNS && status == LT_OK; i++)
        status = add_row(e, &e->run[i], &sets);
    lt_sample_sets_clear(&sets);
    LT_TRY(status);
    lt_comparison_sort(&e->comparison);
    LT_TRY(lt_comparison_label(&e->comparison));
    LT_TRY(lt_comparison_judge(&e->comparison, &verdict, 1));
    for (int i = 0; i < e->comparison.n; i++)
        if (e->comparison.row[i].role == LT_ROW_METHOD)
            printf("%s: %s from retraining\n", e->comparison.row[i].name,
                   lt_verdict_text(e->comparison.row[i].report->overall));
    const lt_report_source source = {.title = "Unlearning, audited",
                                     .seed = 1,
                                     .comparison = &e->comparison,
                                     .ds = e->ds,
                                     .n_forget = (int64_t)lt_trained_model_real(&e->run[0], "n_forget"),
                                     .model = e->base.model};
    LT_TRY(lt_report_from_runs(&source, &report));
    snprintf(path, sizeof path, "%s/report.html", e->dir);
    status = lt_report_html(lt_report_get(report), path);
    lt_report_destroy(report);
    printf("report: %s\n", status == LT_OK ? path : "none");
    return status;
}

static lt_status run_example(example *e, const char *data)
{
    lt_options_defaults(lt_compute_options, &e->compute);
    LT_TRY(lt_dataset_open(data, NULL, &e->ds));
    LT_TRY(lt_compute_open(&e->compute, &(lt_threads){0}, &e->env));
    LT_TRY(train_base(e));
    LT_TRY(unlearn(e, "ft", "ft", 1, &e->run[0]));
    LT_TRY(unlearn(e, "amun", "amun", 1, &e->run[1]));
    LT_TRY(unlearn(e, "retrain", "retrain-1", 2, &e->run[2]));
    LT_TRY(unlearn(e, "retrain", "retrain-2", 3, &e->run[3]));
    return audit_runs(e);
}

int main(int argc, char **argv)
{
    example e = {.dir = argc > 1 ? argv[1] : "unlearn_audit"};
    lt_status status = run_example(&e, argc > 2 ? argv[2] : "synthetic,train-limit=200,test-limit=100");
    if (status != LT_OK)
        fprintf(stderr, "unlearn_audit: %s\n", lt_error_get()->message);
    lt_comparison_clear(&e.comparison);
    for (int i = 0; i < N_RUNS; i++)
        lt_trained_model_close(&e.run[i]);
    lt_trained_model_close(&e.base);
    lt_backend_destroy(e.env.backend);
    lt_dataset_close(e.ds);
    return lt_status_exit_code(status);
}
