// quantize_dir.c - quantization of a trained model as a whole run.
#include "run/quantize_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct quantizing { // everything that must be given back
    const lt_quantize_order *order;
    lt_model *model; // the base model, with rounded activations if it is asked for; quantized in the end
    lt_quant *quant;
    lt_result_dir to;
    double *drop; // (tensors) of accuracy, alone; NULL = not measured
    int64_t n_forget;
    char parent_digest[65];
    double start_s;
} quantizing;

static const char *method_name(const lt_quantize_order *o)
{
    return o->post_training ? "ptq" : o->quant.method;
}

void lt_quantize_order_defaults(lt_quantize_order *order)
{
    enum { CHIPS = 20 };
    *order =
        (lt_quantize_order){.seed = 1, .ptq_step = LT_PTQ_MSE, .percentile = 99.9, .n_chips = CHIPS, .backend = "auto"};
    lt_options_defaults(lt_quant_options, &order->quant);
    lt_options_defaults(lt_quant_chip_options, &order->quant.device);
    lt_options_defaults(lt_train_options, &order->train);
}

// ---- JSON

static const char *chip_option(const lt_quant_chip *chip, const char *name, char number[LT_OPTION_TEXT_MAX])
{
    for (const lt_option *o = lt_quant_chip_options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return lt_option_text(o, chip, number);
    LT_BUG("chip option %s is unknown", name);
}

void lti_write_chip(lti_json *j, const lt_quant_chip *c, int bits)
{
    static const char *const texts[] = {"encoding", "mapping", "variability_model"};
    char number[LT_OPTION_TEXT_MAX];
    lti_json_real(j, "fault_rate", lti_decimal_of(c->fault_rate));
    lti_json_real(j, "stuck_at_1", lti_decimal_of(c->stuck_at_1));
    lti_json_real(j, "touched_share", lt_chip_touched_share(c, bits));
    lti_json_real(j, "variability", lti_decimal_of(c->variability));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        lti_json_text(j, texts[i], chip_option(c, texts[i], number));
    lti_json_int(j, "fault_seed", (int64_t)c->fault_seed);
    lti_json_int(j, "variability_seed", (int64_t)c->variability_seed);
}

static void write_histogram(lti_json *j, const char *key, const int64_t *count, int bits)
{
    lti_json_begin(j, key, '[');
    for (int c = 0; c < 1 << bits && bits <= 4; c++)
        lti_json_int(j, NULL, count[c]);
    lti_json_end(j, ']');
}

static void write_tensor(lti_json *j, const quantizing *q, int i)
{
    lt_quant_tensor_info t;
    lt_quant_tensor(q->quant, i, &t);
    lti_json_begin(j, NULL, '{');
    lti_json_text(j, "name", t.name);
    lti_json_int(j, "bits", t.bits);
    lti_json_int(j, "n", t.n);
    lti_json_int(j, "grids", t.n_grids);
    lti_json_int(j, "levels_hit", t.levels_hit);
    lti_json_real(j, "step", t.step);
    lti_json_real(j, "step_at_start", t.step0);
    lti_json_real(j, "residual", t.residual);
    lti_json_real(j, "code_change", t.code_change);
    lti_json_real(j, "outside", t.outside);
    lti_json_real(j, "tau_steps", t.tau_steps);
    lti_json_real(j, "mean_error", t.mean_error);
    lti_json_real(j, "rms_error", t.rms_error);
    write_histogram(j, "histogram_before", t.histogram_before, t.bits);
    write_histogram(j, "histogram", t.histogram, t.bits);
    if (q->drop)
        lti_json_real(j, "acc_drop_alone", q->drop[i]);
    lti_json_end(j, '}');
}

static void write_accuracies(lti_json *j, const lt_quant_result *r)
{
    lti_json_real(j, "test_acc_fp", r->acc_fp);
    lti_json_real(j, "test_acc_q", r->acc);
    lti_json_real(j, "test_loss_fp", r->loss_fp);
    lti_json_real(j, "test_loss_q", r->loss);
    lti_json_real(j, "test_acc", r->acc);
    lti_json_real(j, "test_loss", r->loss);
    lti_json_real(j, "test_acc_before_bn", r->acc_before_bn);
    lti_json_int(j, "levels_hit", r->levels_hit);
    lti_json_int(j, "n_weights", r->n_weights);
    lti_json_int(j, "n_unreachable", r->n_unreachable);
    lti_json_real(j, "faultable_share", r->faultable_share);
}

// One chip is a population of one.
static void write_one_chip(lti_json *j, const lt_quantize_order *o, double acc)
{
    static const char *const keys[] = {"mean", "worst", "q05", "q50", "q95"};
    lti_json_begin(j, "chips", '{');
    lti_json_int(j, "n", 1);
    lti_json_int(j, "first", o->quant.device.chip);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        lti_json_real(j, keys[i], acc);
    lti_json_end(j, '}');
}

static void write_training(lti_json *j, const lt_quant_result *r)
{
    lti_json_real(j, "residual", r->residual);
    lti_json_real(j, "code_change", r->code_change);
    lti_json_real(j, "travel", r->travel);
    lti_json_int(j, "epochs", r->train.epochs);
    lti_json_int(j, "steps", r->train.steps);
    lti_json_real(j, "images_per_s", r->train.images_per_s);
}

static void write_audit(lti_json *j, const char *key, const lt_audit *a)
{
    lti_json_begin(j, key, '{');
    lti_json_real(j, "ua", a->ua);
    lti_json_real(j, "ra", a->ra);
    lti_json_real(j, "ta", a->ta);
    lti_json_real(j, "svc_mia", a->svc.confidence);
    lti_json_real(j, "ft_auc", a->phi.ft);
    lti_json_end(j, '}');
}

static void write_reaudit(lti_json *j, const lt_reaudit *a, int64_t n_forget)
{
    lti_json_begin(j, "reaudit", '{');
    lti_json_int(j, "n_forget", n_forget);
    write_audit(j, "before", &a->before);
    write_audit(j, "after", &a->after);
    if (a->has_retrained)
        write_audit(j, "retrained", &a->retrained);
    else
        lti_json_null(j, "retrained");
    lti_json_real(j, "gap_before", a->gap_before);
    lti_json_real(j, "gap_after", a->gap_after);
    lti_json_real(j, "auc_shift", a->auc_shift);
    lti_json_begin(j, "auc_shift_interval", '[');
    lti_json_real(j, NULL, a->auc_low);
    lti_json_real(j, NULL, a->auc_high);
    lti_json_end(j, ']');
    lti_json_real(j, "forget_acc_shift", a->forget_shift);
    lti_json_real(j, "test_acc_shift", a->test_shift);
    lti_json_bool(j, "relapse", a->relapse);
    lti_json_end(j, '}');
}

static char *write_record(const quantizing *q, const lt_quantize_record *r)
{
    const lt_quantize_order *o = q->order;
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "action", o->post_training ? "ptq" : "train");
    lti_json_text(&j, "model", q->model->spec);
    lti_json_text(&j, "data", o->ds->spec);
    lti_json_text(&j, "data_digest", o->ds->digest);
    lti_json_text(&j, "parent_digest", q->parent_digest);
    lti_json_text(&j, "method", method_name(o));
    lti_json_int(&j, "bits", r->result.bits);
    lti_json_int(&j, "act_bits", o->quant.act_bits);
    write_accuracies(&j, &r->result);
    lti_write_chip(&j, &o->quant.device, r->result.bits);
    write_one_chip(&j, o, r->result.acc);
    if (!o->post_training)
        write_training(&j, &r->result);
    lti_json_begin(&j, "tensors", '[');
    for (int i = 0; i < lt_quant_n_tensors(q->quant); i++)
        write_tensor(&j, q, i);
    lti_json_end(&j, ']');
    lti_json_begin(&j, "float_tensors", '[');
    for (int i = 0; lt_quant_float_tensor(q->quant, i); i++)
        lti_json_text(&j, NULL, lt_quant_float_tensor(q->quant, i));
    lti_json_end(&j, ']');
    lti_json_real(&j, "wall_s", lti_now_s() - q->start_s);
    lti_json_int(&j, "seed", (int64_t)o->seed);
    lti_json_text(&j, "model_digest", r->model_digest);
    if (*lt_trained_model_text(o->base, "forget_digest"))
        lti_json_text(&j, "forget_digest", lt_trained_model_text(o->base, "forget_digest"));
    if (r->has_reaudit)
        write_reaudit(&j, &r->reaudit, q->n_forget);
    lti_json_text(&j, "run", q->to.dir);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

// ---- the run

lt_status lti_open_quantize_dir(const lt_quantize_order *o, const char *label, const char *parent_digest,
                                lt_result_dir *to)
{
    const char *const facts[] = {"data_digest", o->ds->digest, "parent_digest", parent_digest, NULL};
    const lt_result_dir_spec spec = {.verb = "quantize",
                                     .label = label,
                                     .out = o->out,
                                     .input = o->base->dir,
                                     .force = o->force,
                                     .options = o->set,
                                     .facts = facts,
                                     .events = o->env->events,
                                     .backend = o->env->backend};
    return lt_result_dir_open(&spec, to);
}

static lt_status quantize_model(quantizing *q, lt_quantize_record *r)
{
    const lt_quantize_order *o = q->order;
    lt_quant_in in = {.model = o->base->model,
                      .float_model = o->base->model,
                      .ds = o->ds,
                      .env = o->env,
                      .seed = o->seed,
                      .train = &o->train,
                      .checkpoint = q->to.state,
                      .resume = !o->force};
    LT_TRY(lt_quant_activations(&o->quant, &in, &q->model));
    in.model = q->model;
    if (o->post_training)
        return lt_quant_ptq(&o->quant, o->ptq_step, o->percentile, &in, &q->quant, &r->result);
    return lt_quant_train(&o->quant, &in, &q->quant, &r->result);
}

// What the base has forgotten goes along, so that audits and evaluations of the quantized run find it.
static lt_status copy_forgotten(const quantizing *q)
{
    static const char *const name[] = {"forget.csv", "forgotten.csv"};
    enum { MAX_LIST_BYTES = 1 << 30 };
    for (int i = 0; i < 2 && q->order->base->dir; i++) {
        char from[LT_RESULT_PATH_MAX], to[LT_RESULT_PATH_MAX], *text = NULL;
        size_t n = 0;
        lti_format(from, sizeof from, "%s/%s", q->order->base->dir, name[i]);
        if (!lti_is_file(from))
            continue;
        LT_TRY(lt_run_path(q->to.run, name[i], to, sizeof to));
        LT_TRY(lt_read_file(from, MAX_LIST_BYTES, &text, &n));
        const lt_status status = lt_write_file_atomic(to, text, n);
        free(text);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status save_model(const quantizing *q)
{
    const lt_quantize_order *o = q->order;
    char path[LT_RESULT_PATH_MAX], digest[65];
    lt_optset_digest(o->set, digest);
    const lt_provenance p = {.ds = o->ds, .config_digest = digest, .parent_digest = q->parent_digest};
    LT_TRY(lti_remember_samples(o->base, o->ds, &q->to, q->model));
    LT_TRY(lt_model_set_provenance(q->model, &p));
    LT_TRY(lt_model_set_meta(q->model, "lethe.quant", method_name(o)));
    LT_TRY(copy_forgotten(q));
    LT_TRY(lt_model_save(q->model, q->to.model));
    LT_TRY(lt_run_path(q->to.run, "codes.safetensors", path, sizeof path));
    return lt_quant_save(q->quant, path);
}

static lt_status measure_sensitivity(quantizing *q)
{
    const lt_quantize_order *o = q->order;
    const lt_view test = lt_view_split(o->ds, LT_TEST);
    if (test.n == 0)
        return LT_OK;
    q->drop = lti_calloc((size_t)lt_quant_n_tensors(q->quant) + 1, sizeof *q->drop);
    return q->drop ? lt_quant_sensitivity(q->quant, o->base->model, &test, o->env, q->drop) : LTI_NOMEM("sensitivity");
}

// Is what the base has forgotten still forgotten on few levels, on a faulty chip?
static lt_status audit_again(quantizing *q, lt_quantize_record *r)
{
    const lt_quantize_order *o = q->order;
    lt_sample_sets sets = {0};
    lt_status status = lt_trained_model_sets(o->base, o->ds, &(lt_forget_request){0}, &sets);
    if (status != LT_OK)
        return lt_error_hint("--reaudit takes a run of `lethe unlearn`");
    const lt_reaudit_in in = {.before = o->base->model,
                              .after = q->model,
                              .retrained = o->oracle,
                              .ds = o->ds,
                              .forget = &sets.forget,
                              .retain = &sets.retain,
                              .seed = o->seed,
                              .env = o->env};
    q->n_forget = sets.forget.n;
    status = lt_reaudit_run(&in, &r->reaudit);
    r->has_reaudit = status == LT_OK;
    lt_sample_sets_clear(&sets);
    return status;
}

static lt_status run_quantizing(quantizing *q, lt_quantize_record *r)
{
    const lt_quantize_order *o = q->order;
    if (!o->post_training)
        LT_TRY(lt_quant_check(&o->quant));
    lt_model_digest(o->base->model, q->parent_digest);
    LT_TRY(lti_open_quantize_dir(o, "quantize", q->parent_digest, &q->to));
    lti_format(r->dir, sizeof r->dir, "%s", q->to.dir);
    if (q->to.finished) {
        json_t *parsed = NULL;
        LT_TRY(lti_stored_result(&q->to, &r->json, &parsed));
        json_decref(parsed);
        r->is_cached = true;
        return LT_OK;
    }
    q->start_s = lti_now_s();
    LT_TRY(quantize_model(q, r));
    LT_TRY(save_model(q));
    lt_model_digest(q->model, r->model_digest);
    if (o->sensitivity)
        LT_TRY(measure_sensitivity(q));
    if (o->reaudit)
        LT_TRY(audit_again(q, r));
    r->json = write_record(q, r);
    return r->json ? lt_result_dir_finish(&q->to, r->json) : LTI_NOMEM("result");
}

lt_status lt_quantize_dir(const lt_quantize_order *order, lt_quantize_record *record)
{
    quantizing q = {.order = order};
    *record = (lt_quantize_record){0};
    const lt_status status = run_quantizing(&q, record);
    lt_result_dir_close(&q.to);
    lt_quant_destroy(q.quant);
    lt_model_destroy(q.model);
    lti_free(q.drop);
    return status;
}

void lt_quantize_record_clear(lt_quantize_record *record)
{
    free(record->json);
    *record = (lt_quantize_record){0};
}

// ---- defaults

static const char default_origin[] = "quantize"; // of values that the user did not give

#define RATE_SUM 15.0 // what weights need to reach other levels, and no more [QAT 1.5]
#define LEAST_RATE 0.01
#define LARGEST_RATE 0.05

lt_status lt_quantize_train_defaults(lt_optset *set)
{
    LT_TRY(lt_optset_set(set, "train.epochs", "15", default_origin));
    LT_TRY(lt_optset_set(set, "train.lr", "0.05", default_origin));
    return lt_optset_set(set, "train.weight_decay", "1e-4", default_origin);
}

// Of all steps, at a largest rate of 1.
static double sum_of_factors(const lt_dataset *ds, const lt_train_cfg *train)
{
    lt_train_cfg unit = *train;
    double sum = 0;
    const int64_t n_steps = (ds->split[LT_TRAIN].n + train->batch - 1) / train->batch;
    unit.lr = 1;
    for (int32_t e = 0; e < unit.epochs; e++)
        for (int64_t s = 0; s < n_steps; s++)
            sum += lt_train_lr(&unit, e, s, n_steps);
    return sum;
}

lt_status lt_quantize_default_rate(const lt_dataset *ds, const lt_quant_cfg *quant, const lt_train_cfg *train,
                                   lt_optset *set)
{
    const char *value, *origin;
    char text[LT_OPTION_TEXT_MAX];
    LT_TRY(lt_optset_get(set, "train.lr", &value, &origin));
    if (strcmp(origin, default_origin) != 0 || quant->device.fault_rate > 0)
        return LT_OK;
    const double rate = RATE_SUM / sum_of_factors(ds, train); // infinite without a step
    lti_format(text, sizeof text, "%.2g", fmax(LEAST_RATE, fmin(rate, LARGEST_RATE)));
    return lt_optset_set(set, "train.lr", text, default_origin);
}
