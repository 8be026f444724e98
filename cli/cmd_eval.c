// cmd_eval.c - `lethe eval`: accuracy, loss and calibration of a model per split and per class; optionally its signals.
#include "quantize.h"
#include "lethe/spike.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *run, *data, *signals, *forget;
    lt_model_fallback file;
    uint64_t forget_seed;
    bool train, force, integer;
};
static const lt_option own[] = {
    LT_STR(struct opts, run, NULL, "run or model file to evaluate (also the first argument)"),
    LT_STR(struct opts, data, NULL, "data set; default: the one the model was trained on"),
    LT_STR(struct opts, signals, NULL, "write logits, labels, ids and groups of all samples to this .npz"),
    LT_STR(struct opts, forget, NULL, "forget set to report apart; default: forget.csv of the run, if it has one"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_BOOL(struct opts, train, 1, "evaluate the training split too; --no-train: only the test split"),
    LT_BOOL(struct opts, force, 0, "overwrite --signals even where it is another kind of file"),
    LT_BOOL(struct opts, integer, 0, "of a quantized run: compute with integers only, as the deployed network does"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Input and output", own, 0, LT_OPTGROUP_FLAGS},
    CLI_MODEL_FILE_GROUP(struct opts, file),
    {NULL, NULL, NULL, 0, 0},
};

struct job {
    cli_source src;
    const lt_dataset *ds;
    cli_sets sets;
    bool has_sets;
    lt_env env;
    lt_evaluator *evaluator;
    int64_t images;
    double seconds;
    json_t *activity; // of a spiking network, or NULL
    json_t *integer;  // size and kernel of the integer network, or NULL
};

static lt_status open_job(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    cli_foreign foreign = {.file = &o->file};
    if (o->data && *o->data)
        LT_TRY(cli_dataset(call, o->data, &foreign.ds));
    LT_TRY(cli_source_open(o->run, &foreign, &job->src));
    LT_TRY(cli_source_other_data(call, &job->src, o->data, &job->ds));
    bool own_list = job->src.dir && *cli_text(job->src.result, "forget_digest") && !(o->data && *o->data);
    job->has_sets = (o->forget && *o->forget) || own_list;
    if (job->has_sets)
        LT_TRY(
            cli_sets_of_run(&job->src, job->ds, &(cli_forget){.spec = o->forget, .seed = o->forget_seed}, &job->sets));
    LT_TRY(cli_env(call, &job->env));
    cli_progress_stage(call->session->progress, "evaluating %s", o->run);
    return lt_evaluator_create(job->src.model, &job->env, CLI_EVAL_BATCH, &job->evaluator);
}

static lt_status evaluate(struct job *job, const lt_view *view, json_t *r, const char *name)
{
    lt_eval_result e;
    const lt_dataset *ds = job->ds;
    double *class_acc = cli_alloc((size_t)ds->n_classes, sizeof *class_acc), start_s = cli_now_s();
    lt_status status = lt_evaluator_run(job->evaluator, view, NULL, class_acc, &e);
    if (status == LT_OK) {
        json_t *split = json_object(), *classes = json_object();
        job->seconds += cli_now_s() - start_s;
        job->images += e.n;
        cli_put(split, "n", json_integer(e.n));
        cli_put_real(split, "acc", e.acc);
        cli_put_real(split, "loss", e.loss);
        cli_put_real(split, "ece", e.ece);
        for (int k = 0; k < ds->n_classes; k++)
            cli_put_real(classes, ds->class_names[k], class_acc[k]);
        cli_put(split, "per_class", classes);
        cli_put(r, name, split);
    }
    free(class_acc);
    return status;
}

static lt_status evaluate_all(cli_call *call, struct job *job, json_t *splits)
{
    const struct opts *o = call->opts;
    lt_view train = lt_view_split(job->ds, LT_TRAIN), test = lt_view_split(job->ds, LT_TEST);
    if (o->train && train.n > 0)
        LT_TRY(evaluate(job, &train, splits, "train"));
    if (job->has_sets) {
        lt_view forget = lt_view_rows(job->ds, LT_TRAIN, &job->sets.forget);
        lt_view retain = lt_view_rows(job->ds, LT_TRAIN, &job->sets.retain);
        LT_TRY(evaluate(job, &forget, splits, "forget"));
        if (o->train)
            LT_TRY(evaluate(job, &retain, splits, "retain"));
    }
    return test.n > 0 ? evaluate(job, &test, splits, "test") : LT_OK;
}

// The same splits by the integer network: accuracies only, its logits have no unit.
static lt_status evaluate_integers(cli_call *call, struct job *job, json_t *splits)
{
    static const char *const name[] = {"train", "test"};
    const struct opts *o = call->opts;
    cli_integer_net net = {0};
    lt_status status = cli_integer_net_open(&job->src, job->ds, &job->env, &net);
    for (int k = o->train ? LT_TRAIN : LT_TEST; k <= LT_TEST && status == LT_OK; k++) {
        const int64_t n = job->ds->split[k].n;
        double acc = 0, per_s = 0;
        if (n == 0)
            continue;
        status = lt_int_net_evaluate(net.net, job->ds, (lt_split)k, cli_threads(call), &acc, &per_s);
        json_t *split = json_object();
        cli_put(split, "n", json_integer(n));
        cli_put_real(split, "acc", acc);
        cli_put(splits, name[k], split);
        job->images += n;
        job->seconds += (double)n / per_s;
    }
    if (status == LT_OK)
        job->integer = cli_integer_net_json(&net);
    cli_integer_net_close(&net);
    return status;
}

// On the test split, or on the training split where there is no other.
static lt_status measure_activity(struct job *job)
{
    lt_spike_activity a;
    const lt_split split = job->ds->split[LT_TEST].n > 0 ? LT_TEST : LT_TRAIN;
    const lt_view view = lt_view_split(job->ds, split);
    if (lt_model_steps(job->src.model, NULL) == 0)
        return LT_OK;
    LT_TRY(lt_spike_activity_measure(job->src.model, &view, &job->env, CLI_SPIKE_BATCH, &a));
    json_t *rates = json_object(), *neurons = json_object();
    for (int i = 0; i < a.n_layers; i++) {
        cli_put_real(rates, a.layer[i].name, a.layer[i].rate);
        cli_put(neurons, a.layer[i].name, json_integer(a.layer[i].n_neurons));
    }
    job->activity = json_object();
    cli_put(job->activity, "spike_rate", rates);
    cli_put(job->activity, "neurons", neurons);
    cli_put(job->activity, "steps", json_integer(a.steps));
    cli_put_real(job->activity, "synops", a.synops);
    cli_put_real(job->activity, "macs", a.macs);
    cli_put_real(job->activity, "dense_macs", a.dense_macs);
    cli_put_real(job->activity, "energy_pj", a.energy_pj);
    cli_put_real(job->activity, "dense_energy_pj", a.dense_energy_pj);
    lt_spike_activity_clear(&a);
    return LT_OK;
}

static lt_status write_signals(cli_call *call, struct job *job)
{
    const struct opts *o = call->opts;
    lt_signals *s = NULL;
    lt_index_set all = {0};
    if (!o->signals || !*o->signals)
        return LT_OK;
    if (!job->has_sets)
        LT_TRY(lt_index_set_range(job->ds->split[LT_TRAIN].n, &all));
    lt_status status = lt_signals_compute(job->src.model, job->ds, job->has_sets ? &job->sets.forget : NULL,
                                          job->has_sets ? &job->sets.retain : &all, &job->env, &s);
    if (status == LT_OK)
        status = lt_signals_save(s, o->signals);
    lt_signals_destroy(s);
    lt_index_set_clear(&all);
    return status;
}

static void fill_result(cli_call *call, struct job *job, json_t *splits)
{
    const struct opts *o = call->opts;
    char digest[65];
    json_t *r = json_object();
    lt_model_digest(job->src.model, digest);
    cli_put_text(r, "run", o->run);
    cli_put(r, "model", json_string(job->src.model->spec));
    cli_put(r, "model_digest", json_string(digest));
    cli_put_text(r, "data", job->ds->spec);
    cli_put(r, "data_digest", json_string(job->ds->digest));
    cli_put_real(r, "train_acc", cli_real(splits, "train.acc"));
    cli_put_real(r, "test_acc", cli_real(splits, "test.acc"));
    cli_put_real(r, "test_loss", cli_real(splits, "test.loss"));
    if (job->has_sets) {
        cli_put_real(r, "forget_acc", cli_real(splits, "forget.acc"));
        cli_put_real(r, "retain_acc", cli_real(splits, "retain.acc"));
    }
    cli_put(r, "epochs", json_deep_copy(json_object_get(job->src.result, "epochs")));
    cli_put_real(r, "images_per_s", job->seconds > 0 ? (double)job->images / job->seconds : (double)NAN);
    cli_put_real(r, "wall_s", job->seconds);
    if (o->signals && *o->signals)
        cli_put_text(r, "signals", o->signals);
    if (job->activity)
        json_object_update(r, job->activity);
    if (job->integer)
        cli_put(r, "integer", json_incref(job->integer));
    cli_put(r, "splits", json_incref(splits));
    call->result = r;
}

static lt_status run(cli_call *call)
{
    struct job job = {0};
    json_t *splits = json_object();
    lt_status status = LT_OK;
    LT_TRY_GOTO(cli_positional(call, "run", 1, 1), done);
    LT_TRY_GOTO(cli_may_write("signals", ((const struct opts *)call->opts)->signals, CLI_FILE_NPZ,
                              ((const struct opts *)call->opts)->force),
                done);
    LT_TRY_GOTO(open_job(call, &job), done);
    if (((const struct opts *)call->opts)->integer)
        LT_TRY_GOTO(evaluate_integers(call, &job, splits), done);
    else
        LT_TRY_GOTO(evaluate_all(call, &job, splits), done);
    LT_TRY_GOTO(measure_activity(&job), done);
    LT_TRY_GOTO(write_signals(call, &job), done);
    fill_result(call, &job, splits);
done:
    cli_progress_clear(call->session->progress);
    lt_evaluator_destroy(job.evaluator);
    cli_sets_clear(&job.sets);
    cli_source_close(&job.src);
    json_decref(splits);
    json_decref(job.activity);
    json_decref(job.integer);
    return status;
}

static void print_splits(const json_t *splits, FILE *out)
{
    static const char *const names[] = {"train", "retain", "forget", "test"};
    cli_table t = {.n_columns = 5, .left = {true}};
    cli_table_row(&t, "split", "images", "accuracy %", "loss", "calibration error %");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *s = json_object_get(splits, names[i]);
        char acc[24], ece[24], *n = cli_format("%.0f", cli_real(s, "n")),
                               *loss = cli_format("%.4f", cli_real(s, "loss"));
        if (s)
            cli_table_row(&t, names[i], n, cli_percent(cli_real(s, "acc"), acc), loss,
                          cli_percent(cli_real(s, "ece"), ece));
        free(n);
        free(loss);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_classes(const json_t *splits, FILE *out)
{
    enum { MANY = 20 };
    json_t *test = json_object_get(json_object_get(splits, "test"), "per_class");
    json_t *train = json_object_get(json_object_get(splits, "train"), "per_class");
    json_t *classes = test ? test : train, *value;
    const char *name;
    if (!classes || json_object_size(classes) > MANY) {
        fputs("(accuracies of every class: --json)\n", out);
        return;
    }
    cli_table t = {.n_columns = 3, .left = {true}};
    cli_table_row(&t, "class", "train %", "test %");
    json_object_foreach(classes, name, value)
    {
        char a[24], b[24];
        cli_table_row(&t, name, cli_percent(train ? json_number_value(json_object_get(train, name)) : (double)NAN, a),
                      cli_percent(test ? json_number_value(json_object_get(test, name)) : (double)NAN, b));
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

static void print_activity(const json_t *r, FILE *out)
{
    const char *name;
    json_t *rate;
    cli_table t = {.n_columns = 3, .left = {true}};
    if (!json_object_get(r, "spike_rate"))
        return;
    cli_table_row(&t, "neurons", "number", "spikes a step");
    json_object_foreach(json_object_get(r, "spike_rate"), name, rate)
    {
        char *n = cli_format("%.0f", json_number_value(json_object_get(json_object_get(r, "neurons"), name)));
        char *value = cli_format("%.4f", json_number_value(rate));
        cli_table_row(&t, name, n, value);
        free(n);
        free(value);
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fprintf(out,
            "\nsynaptic operations a sample: %.0f, multiply-adds: %.0f (dense: %.0f)\n"
            "energy of arithmetic: %.3f uJ, dense %.3f uJ (0.9 pJ an addition, 4.6 pJ a multiply-add, 45 nm)\n",
            cli_real(r, "synops"), cli_real(r, "macs"), cli_real(r, "dense_macs"), 1e-6 * cli_real(r, "energy_pj"),
            1e-6 * cli_real(r, "dense_energy_pj"));
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *splits = json_object_get(call->result, "splits");
    fprintf(out, "%s on %s\n\n", cli_text(call->result, "model"), cli_text(call->result, "data"));
    print_splits(splits, out);
    print_classes(splits, out);
    print_activity(call->result, out);
}

const cli_verb cli_verb_eval = {
    .name = "eval",
    .usage = "RUN|FILE.safetensors [--data DATA] [options]",
    .about = "Evaluates a model on un-augmented images: accuracy, cross-entropy in nats and expected calibration error "
             "of each\n"
             "split, accuracy of each class. --signals writes the outputs that `lethe audit --signals` reads.",
    .examples = "  lethe eval runs/base\n"
                "  lethe eval model.safetensors --model resnet18 --data cifar10:/data/cifar-10-batches-bin\n"
                "  lethe eval runs/amun --signals amun.npz --json\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
