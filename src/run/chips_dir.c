// chips_dir.c - the codes of a quantized run on many chips, as a whole run.
#include "run/quantize_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct populating { // everything that must be given back
    const lt_quantize_order *order;
    lt_quant *quant;
    lt_result_dir to;
    char parent_digest[65];
    double start_s;
} populating;

// ---- JSON: statistics of one row, and the accuracies themselves in the order of the chips

static void write_row(lti_json *j, const double *acc, int n, double at)
{
    lt_chip_stats s;
    lt_chip_stats_compute(acc, n, &s);
    lti_json_int(j, "n", s.n);
    lti_json_real(j, "mean", s.mean);
    lti_json_real(j, "sd", s.sd);
    lti_json_real(j, "worst", s.worst);
    lti_json_real(j, "best", s.best);
    lti_json_real(j, "q05", s.q05);
    lti_json_real(j, "q50", s.q50);
    lti_json_real(j, "q95", s.q95);
    lti_json_real(j, "yield", lt_chip_yield(acc, n, at));
    lti_json_begin(j, "accuracies", '[');
    for (int i = 0; i < n; i++)
        lti_json_real(j, NULL, acc[i]);
    lti_json_end(j, ']');
}

// Bits of the weights whose cells can fail: ends of 8 bits cannot.
static int cell_bits(const lt_quant *q)
{
    int bits = LT_QUANT_MAX_BITS;
    for (int i = 0; i < lt_quant_n_tensors(q); i++) {
        lt_quant_tensor_info t;
        lt_quant_tensor(q, i, &t);
        bits = t.bits < bits ? t.bits : bits;
    }
    return bits;
}

static void write_source(lti_json *j, const populating *p, const lt_chips_record *r)
{
    const lt_quantize_order *o = p->order;
    lti_json_text(j, "action", "population");
    lti_json_text(j, "source", o->base->name);
    lti_json_text(j, "model", o->base->model->spec);
    lti_json_text(j, "data", o->ds->spec);
    lti_json_text(j, "data_digest", o->ds->digest);
    lti_json_text(j, "parent_digest", p->parent_digest);
    lti_json_text(j, "method", lt_trained_model_text(o->base, "method"));
    lti_json_real(j, "bits", lt_trained_model_real(o->base, "bits"));
    lti_json_real(j, "levels_hit", lt_trained_model_real(o->base, "levels_hit"));
    lti_json_real(j, "test_acc_fp", lt_trained_model_real(o->base, "test_acc_fp"));
    lti_json_real(j, "test_acc_q", r->nominal_acc);
    lti_write_chip(j, &o->quant.device, cell_bits(p->quant));
}

// Chips by group, as numbers of the population.
static void write_groups(lti_json *j, const lt_quantize_order *o, const lt_chips_record *r)
{
    lti_json_begin(j, "groups", '[');
    for (int k = 0; k < o->n_groups && r->group; k++) {
        lti_json_begin(j, NULL, '[');
        for (int i = 0; i < r->n; i++)
            if (r->group[i] == k)
                lti_json_int(j, NULL, o->quant.device.chip + i);
        lti_json_end(j, ']');
    }
    lti_json_end(j, ']');
}

static int64_t count_images(const lt_quantize_order *o)
{
    const int64_t all = o->ds->split[LT_TEST].n;
    return o->n_chip_images > 0 && o->n_chip_images < all ? o->n_chip_images : all;
}

static char *write_record(const populating *p, const lt_chips_record *r)
{
    const lt_quantize_order *o = p->order;
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    write_source(&j, p, r);
    lti_json_begin(&j, "chips", '{');
    write_row(&j, r->acc + r->main_row * r->n, r->n, r->at);
    lti_json_text(&j, "row", lt_population_row_name((lt_population_row)r->main_row));
    lti_json_int(&j, "first", o->quant.device.chip);
    lti_json_int(&j, "n_images", count_images(o));
    lti_json_real(&j, "yield_at", r->at);
    lti_json_end(&j, '}');
    lti_json_begin(&j, "rows", '{');
    for (int k = 0; k < LT_POP_N_ROWS; k++) {
        if (((k == LT_POP_TUNED || k == LT_POP_TUNED_ELSEWHERE) && !o->fine_tune) ||
            (k == LT_POP_GROUPED && o->n_groups == 0))
            continue;
        lti_json_begin(&j, lt_population_row_name((lt_population_row)k), '{');
        write_row(&j, r->acc + k * r->n, r->n, r->at);
        lti_json_end(&j, '}');
    }
    lti_json_end(&j, '}');
    if (o->n_groups > 0)
        write_groups(&j, o, r);
    lti_json_real(&j, "wall_s", lti_now_s() - p->start_s);
    lti_json_int(&j, "seed", (int64_t)o->seed);
    lti_json_text(&j, "run", p->to.dir);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

// ---- the run

static lt_status measure_chips(const populating *p, const char *table, const char *shared, lt_chips_record *r)
{
    const lt_quantize_order *o = p->order;
    r->n = o->n_chips;
    if (!r->acc)
        r->acc = lti_calloc((size_t)LT_POP_N_ROWS * (size_t)r->n, sizeof *r->acc);
    if (!r->group && o->n_groups > 0)
        r->group = lti_calloc((size_t)r->n, sizeof *r->group);
    if (!r->acc || (o->n_groups > 0 && !r->group))
        return LTI_NOMEM("population of chips");
    const lt_chip_population population = {.quant = p->quant,
                                           .model = o->base->model,
                                           .ds = o->ds,
                                           .device = o->quant.device,
                                           .n = o->n_chips,
                                           .n_images = o->n_chip_images,
                                           .bn_batches = o->quant.bn_batches,
                                           .n_workers = o->n_workers,
                                           .seed = o->seed,
                                           .tune = o->fine_tune ? &o->quant : NULL,
                                           .n_groups = o->n_groups,
                                           .group_tune = &o->quant,
                                           .group = r->group,
                                           .train = &o->train,
                                           .backend = o->backend,
                                           .plan_flags = o->env->plan_flags,
                                           .table = table,
                                           .shared = shared,
                                           .events = o->env->events,
                                           .stop = o->env->stop};
    return lt_chip_population_run(&population, r->acc);
}

static void sum_up(const lt_quantize_order *o, lt_chips_record *r)
{
    r->main_row = o->fine_tune                               ? LT_POP_TUNED
                  : o->n_groups > 0                          ? LT_POP_GROUPED
                  : o->quant.device.mapping == LT_MAP_BITMAP ? LT_POP_BITMAP_BN
                                                             : LT_POP_NEAREST_BN;
    r->nominal_acc = lt_trained_model_real(o->base, "test_acc_q");
    r->at = o->yield_at > 0 ? o->yield_at : r->nominal_acc - 0.02;
    lt_chip_stats_compute(r->acc + r->main_row * r->n, r->n, &r->main_stats);
    r->main_yield = lt_chip_yield(r->acc + r->main_row * r->n, r->n, r->at);
}

// Several processes fill OUT.chips; the first one that then gets the run directory finishes the run, and the others
// find it finished.
static lt_status open_shared(populating *p, char shared[LT_RESULT_PATH_MAX], lt_chips_record *r)
{
    const lt_quantize_order *o = p->order;
    const struct timespec a_while = {.tv_nsec = 100000000};
    if (!o->out || !*o->out)
        return LT_FAIL(LT_E_USAGE, "quantize population: --join needs --out, the directory that the workers share");
    size_t n = strlen(o->out);
    while (n > 1 && o->out[n - 1] == '/')
        n--;
    if (lti_format(shared, LT_RESULT_PATH_MAX, "%.*s.chips", (int)n, o->out) >= LT_RESULT_PATH_MAX)
        return LT_FAIL(LT_E_USAGE, "--out: the path is longer than %d bytes", LT_RESULT_PATH_MAX - 1);
    if (!lt_run_is_done(o->out))
        LT_TRY(measure_chips(p, NULL, shared, r));
    for (;;) {
        const lt_status status = lti_open_quantize_dir(o, "population", p->parent_digest, &p->to);
        if (status != LT_E_BUSY || lt_interrupted(o->env->stop))
            return status;
        nanosleep(&a_while, NULL);
    }
}

static lt_status run_population(populating *p, lt_chips_record *r)
{
    const lt_quantize_order *o = p->order;
    LT_TRY(lt_trained_model_codes(o->base, &p->quant));
    if (!(o->quant.device.fault_rate > 0) && !(o->quant.device.variability > 0)) {
        LT_FAIL(LT_E_USAGE, "quantize population: ideal chips are all the same");
        return lt_error_hint("give --fault-rate or --variability");
    }
    lt_model_digest(o->base->model, p->parent_digest);
    p->start_s = lti_now_s();
    char shared[LT_RESULT_PATH_MAX], table[LT_RESULT_PATH_MAX];
    LT_TRY(o->join ? open_shared(p, shared, r) : lti_open_quantize_dir(o, "population", p->parent_digest, &p->to));
    lti_format(r->dir, sizeof r->dir, "%s", p->to.dir);
    if (p->to.finished) {
        json_t *parsed = NULL;
        LT_TRY(lti_stored_result(&p->to, &r->json, &parsed));
        json_decref(parsed);
        r->is_cached = true;
        return LT_OK;
    }
    LT_TRY(lt_run_path(p->to.run, "chips.csv", table, sizeof table));
    LT_TRY(measure_chips(p, table, o->join ? shared : NULL, r));
    sum_up(o, r);
    r->json = write_record(p, r);
    return r->json ? lt_result_dir_finish(&p->to, r->json) : LTI_NOMEM("result");
}

lt_status lt_chips_dir(const lt_quantize_order *order, lt_chips_record *record)
{
    populating p = {.order = order};
    *record = (lt_chips_record){0};
    const lt_status status = run_population(&p, record);
    lt_result_dir_close(&p.to);
    lt_quant_destroy(p.quant);
    return status;
}

void lt_chips_record_clear(lt_chips_record *record)
{
    lti_free(record->acc);
    lti_free(record->group);
    free(record->json);
    *record = (lt_chips_record){0};
}

// ---- defaults

lt_status lt_chips_default_device(const lt_trained_model *base, lt_events *events, lt_optset *set)
{
    // Not the rates, which the question is about, nor the number of the first chip.
    static const char *const taken[] = {"encoding",   "mapping",           "reference_column", "stuck_at_1",
                                        "fault_seed", "variability_model", "variability_seed"};
    lt_quant *quant = NULL;
    LT_TRY(lt_trained_model_codes(base, &quant));
    lt_status status = LT_OK;
    for (size_t i = 0; i < sizeof taken / sizeof *taken && status == LT_OK; i++) {
        const lt_option *row = lt_quant_chip_options;
        while (strcmp(row->name, taken[i]) != 0)
            row++;
        char key[64], number[LT_OPTION_TEXT_MAX];
        const char *given, *origin, *own = lt_option_text(row, lt_quant_device(quant), number);
        lti_format(key, sizeof key, "chip.%s", row->name);
        status = lt_optset_get(set, key, &given, &origin);
        if (status != LT_OK)
            break;
        if (!strcmp(origin, "default"))
            status = lt_optset_set(set, key, own, "codes");
        else if (i == 0 && strcmp(given, own) != 0)
            lt_warn(events, "quant.encoding", "%s: its codes were made for the encoding %s and are measured in %s",
                    base->name, own, given);
    }
    lt_quant_destroy(quant);
    return status;
}
