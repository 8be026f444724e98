// evaluation.c - a trained model on its data: splits, spiking activity, integer form, outputs.
#include "lethe/evaluation.h"
#include "base/json_write.h"
#include "run/run_impl.h"
#include <math.h>
#include <string.h>

enum { SPIKE_BATCH = 16 }; // of event recordings, each has many rows

typedef struct evaluation_job {
    const lt_evaluation_spec *spec;
    lt_evaluation *e;
    lt_sample_sets sets;
    lt_evaluator *evaluator;
    int64_t images;
} evaluation_job;

static lt_status find_forget_set(evaluation_job *job)
{
    const lt_evaluation_spec *s = job->spec;
    const bool is_named = s->forget.spec && *s->forget.spec;
    const bool has_own = s->model->dir && *lt_trained_model_text(s->model, "forget_digest") && !s->other_data;
    job->e->has_forget_set = is_named || has_own;
    return job->e->has_forget_set ? lt_trained_model_sets(s->model, s->ds, &s->forget, &job->sets) : LT_OK;
}

// ---- splits

static lt_status evaluate_view(evaluation_job *job, lt_evaluated_part part, const lt_view *view)
{
    lt_evaluated_split *split = &job->e->split[part];
    const int n_data = job->spec->ds->n_classes, n_model = job->spec->model->model->shape.n_classes,
              n = n_data > n_model ? n_data : n_model; // other data may have fewer classes, or more that never occur
    split->class_acc = lti_calloc((size_t)n, sizeof *split->class_acc);
    if (!split->class_acc)
        return LTI_NOMEM("evaluation");
    for (int k = 0; k < n; k++)
        split->class_acc[k] = NAN;
    const double start_s = lti_now_s();
    LT_TRY(lt_evaluator_run(job->evaluator, view, NULL, split->class_acc, &split->result));
    job->e->wall_s += lti_now_s() - start_s;
    job->images += split->result.n;
    split->is_measured = true;
    return LT_OK;
}

static lt_status evaluate_splits(evaluation_job *job)
{
    const lt_evaluation_spec *s = job->spec;
    const lt_view train = lt_view_split(s->ds, LT_TRAIN), test = lt_view_split(s->ds, LT_TEST);
    if (s->train && train.n > 0)
        LT_TRY(evaluate_view(job, LT_EVALUATED_TRAIN, &train));
    if (job->e->has_forget_set) {
        const lt_view forget = lt_view_rows(s->ds, LT_TRAIN, &job->sets.forget);
        const lt_view retain = lt_view_rows(s->ds, LT_TRAIN, &job->sets.retain);
        LT_TRY(evaluate_view(job, LT_EVALUATED_FORGET, &forget));
        if (s->train)
            LT_TRY(evaluate_view(job, LT_EVALUATED_RETAIN, &retain));
    }
    return test.n > 0 ? evaluate_view(job, LT_EVALUATED_TEST, &test) : LT_OK;
}

// ---- integers

lt_status lt_trained_model_codes(const lt_trained_model *m, lt_quant **quant)
{
    char *path = lti_asprintf("%s/codes.safetensors", m->dir ? m->dir : ".");
    lt_status status = path ? LT_OK : LTI_NOMEM("path");
    if (status == LT_OK && (!m->dir || !lti_is_file(path))) {
        LT_FAIL(LT_E_USAGE, "%s: expected a run of `lethe quantize`, found none of its codes", m->name);
        status = lt_error_hint("make one with: lethe quantize train %s --out DIR", m->name);
    }
    if (status == LT_OK)
        status = lt_quant_open(path, m->model, quant);
    lti_free(path);
    return status;
}

// Accuracies only: the logits of the integer network have no unit.
static lt_status evaluate_integer_net(evaluation_job *job, const lt_int_net *net)
{
    static const lt_evaluated_part part[2] = {[LT_TRAIN] = LT_EVALUATED_TRAIN, [LT_TEST] = LT_EVALUATED_TEST};
    const lt_evaluation_spec *s = job->spec;
    for (int k = s->train ? LT_TRAIN : LT_TEST; k <= LT_TEST; k++) {
        const int64_t n = s->ds->split[k].n;
        double acc = 0, per_s = 0;
        if (n == 0)
            continue;
        LT_TRY(lt_int_net_evaluate(net, s->ds, (lt_split)k, s->n_threads, &acc, &per_s));
        job->e->split[part[k]] =
            (lt_evaluated_split){.is_measured = true, .result = {.n = n, .acc = acc, .loss = NAN, .ece = NAN}};
        job->images += n;
        job->e->wall_s += (double)n / per_s;
    }
    lt_int_net_info(net, &job->e->integer);
    job->e->has_integer = true;
    return LT_OK;
}

static lt_status evaluate_integers(evaluation_job *job)
{
    const lt_evaluation_spec *s = job->spec;
    lt_quant *quant = NULL;
    lt_int_net *net = NULL;
    lt_status status = lt_trained_model_codes(s->model, &quant);
    if (status == LT_OK)
        status = lt_int_net_create(s->model->model, quant, s->ds, s->env, &net);
    if (status == LT_OK)
        status = evaluate_integer_net(job, net);
    lt_int_net_destroy(net);
    lt_quant_destroy(quant);
    return status;
}

// ---- activity, outputs

// On the test split, or on the training split where there is no other.
static lt_status measure_activity(evaluation_job *job)
{
    const lt_evaluation_spec *s = job->spec;
    const lt_view view = lt_view_split(s->ds, s->ds->split[LT_TEST].n > 0 ? LT_TEST : LT_TRAIN);
    if (lt_model_steps(s->model->model, NULL) == 0)
        return LT_OK;
    LT_TRY(lt_spike_activity_measure(s->model->model, &view, s->env, SPIKE_BATCH, &job->e->activity));
    job->e->has_activity = true;
    return LT_OK;
}

static lt_status write_signals(evaluation_job *job)
{
    const lt_evaluation_spec *s = job->spec;
    const bool has_sets = job->e->has_forget_set;
    lt_signals *signals = NULL;
    lt_index_set all = {0};
    if (!s->signals || !*s->signals)
        return LT_OK;
    if (!has_sets)
        LT_TRY(lt_index_set_range(s->ds->split[LT_TRAIN].n, &all));
    lt_status status = lt_signals_compute(s->model->model, s->ds, has_sets ? &job->sets.forget : NULL,
                                          has_sets ? &job->sets.retain : &all, s->env, &signals);
    if (status == LT_OK)
        status = lt_signals_save(signals, s->signals);
    lt_signals_destroy(signals);
    lt_index_set_clear(&all);
    job->e->signals = s->signals;
    return status;
}

static lt_status run_job(evaluation_job *job)
{
    LT_TRY(find_forget_set(job));
    LT_TRY(lt_evaluator_create(job->spec->model->model, job->spec->env, LTI_EVAL_BATCH, &job->evaluator));
    LT_TRY(job->spec->integer ? evaluate_integers(job) : evaluate_splits(job));
    LT_TRY(measure_activity(job));
    LT_TRY(write_signals(job));
    job->e->images_per_s = job->e->wall_s > 0 ? (double)job->images / job->e->wall_s : (double)NAN;
    return LT_OK;
}

lt_status lt_evaluate_model(const lt_evaluation_spec *spec, lt_evaluation *e)
{
    *e = (lt_evaluation){.model = spec->model, .ds = spec->ds};
    evaluation_job job = {.spec = spec, .e = e};
    const lt_status status = run_job(&job);
    lt_evaluator_destroy(job.evaluator);
    lt_sample_sets_clear(&job.sets);
    return status;
}

void lt_evaluation_clear(lt_evaluation *e)
{
    for (int i = 0; i < LT_N_EVALUATED; i++)
        lti_free(e->split[i].class_acc);
    if (e->has_activity)
        lt_spike_activity_clear(&e->activity);
    *e = (lt_evaluation){0};
}

// ---- JSON

static void write_split(const lt_evaluation *e, lt_evaluated_part part, lti_json *w)
{
    static const char *const name[LT_N_EVALUATED] = {[LT_EVALUATED_TRAIN] = "train",
                                                     [LT_EVALUATED_RETAIN] = "retain",
                                                     [LT_EVALUATED_FORGET] = "forget",
                                                     [LT_EVALUATED_TEST] = "test"};
    const lt_evaluated_split *s = &e->split[part];
    if (!s->is_measured)
        return;
    lti_json_begin(w, name[part], '{');
    lti_json_int(w, "n", s->result.n);
    lti_json_real(w, "acc", s->result.acc);
    if (s->class_acc) {
        lti_json_real(w, "loss", s->result.loss);
        lti_json_real(w, "ece", s->result.ece);
        lti_json_begin(w, "per_class", '{');
        for (int k = 0; k < e->ds->n_classes; k++)
            lti_json_real(w, e->ds->class_names[k], s->class_acc[k]);
        lti_json_end(w, '}');
    }
    lti_json_end(w, '}');
}

static void write_activity(const lt_spike_activity *a, lti_json *w)
{
    lti_json_begin(w, "spike_rate", '{');
    for (int i = 0; i < a->n_layers; i++)
        lti_json_real(w, a->layer[i].name, a->layer[i].rate);
    lti_json_end(w, '}');
    lti_json_begin(w, "neurons", '{');
    for (int i = 0; i < a->n_layers; i++)
        lti_json_int(w, a->layer[i].name, a->layer[i].n_neurons);
    lti_json_end(w, '}');
    lti_json_int(w, "steps", a->steps);
    lti_json_real(w, "synops", a->synops);
    lti_json_real(w, "macs", a->macs);
    lti_json_real(w, "dense_macs", a->dense_macs);
    lti_json_real(w, "energy_pj", a->energy_pj);
    lti_json_real(w, "dense_energy_pj", a->dense_energy_pj);
}

static double metric_of(const lt_evaluated_split *s, bool loss)
{
    return !s->is_measured ? (double)NAN : loss ? s->result.loss : s->result.acc;
}

static void write_head(const lt_evaluation *e, lti_json *w)
{
    char digest[65];
    lt_model_digest(e->model->model, digest);
    lti_json_text(w, "run", e->model->name);
    lti_json_text(w, "model", e->model->model->spec);
    lti_json_text(w, "model_digest", digest);
    lti_json_text(w, "data", e->ds->spec);
    lti_json_text(w, "data_digest", e->ds->digest);
    lti_json_real(w, "train_acc", metric_of(&e->split[LT_EVALUATED_TRAIN], false));
    lti_json_real(w, "test_acc", metric_of(&e->split[LT_EVALUATED_TEST], false));
    lti_json_real(w, "test_loss", metric_of(&e->split[LT_EVALUATED_TEST], true));
    if (e->has_forget_set) {
        lti_json_real(w, "forget_acc", metric_of(&e->split[LT_EVALUATED_FORGET], false));
        lti_json_real(w, "retain_acc", metric_of(&e->split[LT_EVALUATED_RETAIN], false));
    }
    const json_t *epochs = json_object_get(e->model->result, "epochs");
    if (json_is_integer(epochs))
        lti_json_int(w, "epochs", json_integer_value(epochs));
    else
        lti_json_null(w, "epochs");
    lti_json_real(w, "images_per_s", e->images_per_s);
    lti_json_real(w, "wall_s", e->wall_s);
    if (e->signals)
        lti_json_text(w, "signals", e->signals);
}

char *lt_evaluation_json(const lt_evaluation *e)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    write_head(e, &w);
    if (e->has_activity)
        write_activity(&e->activity, &w);
    if (e->has_integer) {
        char *integer = lt_int_info_json(&e->integer);
        lti_json_raw(&w, "integer", integer ? integer : "null");
        lti_free(integer);
    }
    lti_json_begin(&w, "splits", '{');
    for (int i = 0; i < LT_N_EVALUATED; i++)
        write_split(e, (lt_evaluated_part)i, &w);
    lti_json_end(&w, '}');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}
