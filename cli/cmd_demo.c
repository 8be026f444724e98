// cmd_demo.c - `lethe demo`: train, retrain without a forget set, unlearn it by several methods, audit, report.
//
// Every step is a run directory made by calling the verbs themselves, so all of it can be looked at afterwards with
// eval, audit and report, and a demo that was interrupted goes on where it stopped.
#include "board.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const cli_verb cli_verb_train, cli_verb_unlearn;

// The sizes of the demo, all in one place: small enough for four minutes on two cores, large enough that membership
// leaks.
struct opts {
    const char *data, *forget, *methods;
    int32_t width, epochs, method_epochs;
    int64_t train_limit, test_limit, batch;
    float lr;
    bool augment;
    uint64_t forget_seed;
    lt_audit_cfg audit;
};
static const lt_option own[] = {
    LT_STR(struct opts, data, NULL, "data set; default: cifar10 when it is found, else synthetic"),
    LT_I64(struct opts, train_limit, 4000, 100, 1000000, "images",
           "training images, class-balanced (only without --data)"),
    LT_I64(struct opts, test_limit, 1000, 100, 1000000, "images", "test images, class-balanced (only without --data)"),
    LT_STR(struct opts, forget, "random:10%", "what is forgotten"),
    LT_U64(struct opts, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(struct opts, methods, "ft,ga,rl,amun,amun-no-retain",
           "methods to compare; the ending -no-retain: forget data only"),
    LT_I32(struct opts, width, 8, 1, 512, "channels", "width of the ResNet-18 (the full one has 64)"),
    LT_I32(struct opts, epochs, 25, 1, 100000, "epochs", "training epochs of the original and the retrained model"),
    LT_I64(struct opts, batch, 64, 1, 65536, "images", "batch size of training"),
    LT_F32(struct opts, lr, 0.1, 0, 100, "", "learning rate of training (one cosine)"),
    LT_BOOL(struct opts, augment, 0,
            "crop and flip; without them the model memorises sooner, so that there is something to forget"),
    LT_I32(struct opts, method_epochs, 0, 0, 100000, "epochs", "epochs of each method; 0 = the method's own default"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Sizes", own, 0, LT_OPTGROUP_FLAGS},
    {"audit", "How to audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

enum { MAX_ARGS = 24 };
struct args { // of a nested call
    int n;
    char *text[MAX_ARGS + 1];
};
struct demo {
    char *out, *spec;
    cli_list methods, runs;
    int step, n_steps;
    bool synthetic;
};

static void add_arg(struct args *a, char *text)
{
    if (a->n < MAX_ARGS)
        a->text[a->n++] = text;
    else
        free(text);
}

static void clear_args(struct args *a)
{
    for (int i = 0; i < a->n; i++)
        free(a->text[i]);
}

// ---- data: the real one when it is there

static lt_status choose_data(cli_call *call, struct demo *d)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    if (o->data && *o->data) {
        d->spec = cli_format("%s", o->data);
        return cli_dataset(call, d->spec, &ds);
    }
    d->spec =
        cli_format("cifar10,train-limit=%lld,test-limit=%lld", (long long)o->train_limit, (long long)o->test_limit);
    lt_status status = cli_dataset(call, d->spec, &ds);
    if (status == LT_OK || (status != LT_E_USAGE && status != LT_E_INPUT))
        return status; // found; or found and damaged, which must not be passed over
    lt_error_clear();
    free(d->spec);
    d->synthetic = true;
    d->spec =
        cli_format("synthetic,train-limit=%lld,test-limit=%lld", (long long)o->train_limit, (long long)o->test_limit);
    FILE *out = call->common.json ? stderr : stdout;
    if (!call->common.json || !call->common.quiet)
        fprintf(out, "No real data set found, so this demo uses the built-in synthetic one; `lethe data get cifar10` "
                     "fetches CIFAR-10.\n");
    fflush(out);
    return cli_dataset(call, d->spec, &ds);
}

// ---- steps

static lt_status step(cli_call *call, struct demo *d, const cli_verb *verb, const char *name, const char *title,
                      struct args *a)
{
    cli_session *s = call->session;
    json_t *r = NULL;
    char *dir = cli_format("%s/%s", d->out, name), test[24], forget[24];
    add_arg(a, cli_format("--out=%s", dir));
    add_arg(a, cli_format("--backend=%s", call->where.backend));
    if (call->place.force)
        add_arg(a, cli_format("--force"));
    d->step++;
    cli_say(s, "[%d/%d] %s", d->step, d->n_steps, title);
    cli_progress_stage(s->progress, "[%d/%d]", d->step, d->n_steps);
    lt_status status = cli_invoke(call, verb, (const char *const *)a->text, &r);
    if (status == LT_OK) {
        double seconds = cli_real(r, "time.update_s") + cli_real(r, "time.search_s");
        cli_list_push(&d->runs, dir, strlen(dir));
        if (json_object_get(r, "forget_acc"))
            cli_say(s, "      forget accuracy %s %%, test accuracy %s %%, %.1f s",
                    cli_percent(cli_real(r, "forget_acc"), forget), cli_percent(cli_real(r, "test_acc"), test),
                    seconds);
        else
            cli_say(s, "      train accuracy %s %%, test accuracy %s %%, %.1f s",
                    cli_percent(cli_real(r, "train_acc"), forget), cli_percent(cli_real(r, "test_acc"), test),
                    cli_real(r, "wall_s"));
    }
    json_decref(r);
    clear_args(a);
    free(dir);
    return status;
}

static lt_status train_base(cli_call *call, struct demo *d)
{
    const struct opts *o = call->opts;
    struct args a = {0};
    char *title = cli_format("training resnet18 of width %d on %s", (int)o->width, d->spec);
    add_arg(&a, cli_format("--data=%s", d->spec));
    add_arg(&a, cli_format("--model=resnet18:width=%d", (int)o->width));
    add_arg(&a, cli_format("--epochs=%d", (int)o->epochs));
    add_arg(&a, cli_format("--batch=%lld", (long long)o->batch));
    add_arg(&a, cli_format("--lr=%.9g", (double)o->lr));
    add_arg(&a, cli_format("--schedule=cosine"));
    add_arg(&a, cli_format(o->augment ? "--augment" : "--no-augment"));
    add_arg(&a, cli_format("--eval-every=%d", o->epochs > 10 ? (int)o->epochs / 10 : 1));
    add_arg(&a, cli_format("--seed=%llu", (unsigned long long)call->seed.seed));
    lt_status status = step(call, d, &cli_verb_train, "base", title, &a);
    free(title);
    return status;
}

// name: a method, perhaps with the ending -no-retain.
static lt_status unlearn(cli_call *call, struct demo *d, const char *name)
{
    static const char ending[] = "-no-retain";
    const struct opts *o = call->opts;
    struct args a = {0};
    size_t n = strlen(name), m = strlen(ending);
    bool no_retain = n > m && !strcmp(name + n - m, ending);
    const lt_unlearn_method *method;
    char *plain = cli_format("%.*s", (int)(no_retain ? n - m : n), name);
    lt_status status = lt_unlearn_find(plain, &method);
    if (status != LT_OK) {
        free(plain);
        return status;
    }
    const bool oracle = method->needs & LT_FROM_SCRATCH;
    char *title = cli_format("%s%s", method->title,
                             oracle      ? ", without the forget set: the oracle"
                             : no_retain ? ", forget data only"
                                         : "");
    add_arg(&a, cli_format("%s/base", d->out));
    add_arg(&a, cli_format("--method=%s", plain));
    add_arg(&a, cli_format("--forget=%s", o->forget));
    add_arg(&a, cli_format("--forget-seed=%llu", (unsigned long long)o->forget_seed));
    add_arg(&a, cli_format(no_retain ? "--no-retain" : "--retain"));
    add_arg(&a, cli_format("--cache=%s/cache", d->out));
    add_arg(&a, cli_format("--seed=%llu", (unsigned long long)call->seed.seed + (oracle ? 1 : 0)));
    if (!oracle && o->method_epochs > 0)
        add_arg(&a, cli_format("--epochs=%d", (int)o->method_epochs));
    if (!oracle && !o->augment)
        add_arg(&a, cli_format("--no-augment"));
    status = step(call, d, &cli_verb_unlearn, name, title, &a);
    free(title);
    free(plain);
    return status;
}

static lt_status report(cli_call *call, struct demo *d, double start_s)
{
    struct opts *o = call->opts;
    cli_board board = {0};
    char *html = cli_format("%s/report.html", d->out);
    o->audit.seed = call->seed.seed;
    lt_status status = cli_board_build(
        call, &(cli_board_spec){.runs = (const char *const *)d->runs.item, .n_runs = d->runs.n, .audit = &o->audit},
        &board);
    if (status == LT_OK)
        status = cli_board_report(call, &board,
                                  &(cli_outputs){.title = "lethe demo: what forgetting looks like", .page = html, .with_images = true});
    json_t *rows = NULL;
    if (status == LT_OK)
        status = cli_board_json(&board, &rows);
    if (status == LT_OK) {
        call->result = json_object();
        cli_put_text(call->result, "data", d->spec);
        cli_put(call->result, "synthetic", json_boolean(d->synthetic));
        cli_put_text(call->result, "out", d->out);
        cli_put_text(call->result, "report", html);
        cli_put(call->result, "n_forget", json_integer(board.sets.forget.n));
        cli_put(call->result, "rows", rows);
        cli_put_real(call->result, "wall_s", cli_now_s() - start_s);
    }
    cli_progress_clear(call->session->progress);
    cli_board_clear(&board);
    free(html);
    return status;
}

static lt_status run_steps(cli_call *call, struct demo *d)
{
    double start_s = cli_now_s();
    LT_TRY(choose_data(call, d));
    LT_TRY(train_base(call, d));
    LT_TRY(unlearn(call, d, "retrain"));
    for (int i = 0; i < d->methods.n; i++)
        LT_TRY(unlearn(call, d, d->methods.item[i]));
    return report(call, d, start_s);
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    struct demo d = {.out = cli_format("%s", call->place.out && *call->place.out ? call->place.out : "runs/demo")};
    cli_list_add(&d.methods, o->methods);
    d.n_steps = 2 + d.methods.n;
    lt_status status = run_steps(call, &d);
    if (status == LT_E_INTERRUPTED)
        lt_error_hint("the same command goes on where this one stopped");
    cli_list_clear(&d.methods);
    cli_list_clear(&d.runs);
    free(d.out);
    free(d.spec);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    fprintf(out, "\nForgetting %.0f training samples of %s\n\n", cli_real(r, "n_forget"), cli_text(r, "data"));
    cli_board_print(json_object_get(r, "rows"), out);
    fprintf(out,
            "\nThe oracle was trained without the forgotten samples; the smaller the average gap to it (in points), "
            "the better.\n"
            "Every method ran with its default options, not tuned for this small set; experiments/ has tuned ones.\n"
            "MIA: share of forgotten samples an SVC on the confidence calls non-members.\n"
            "Report: %s    (%.0f s)\n",
            cli_text(r, "report"), cli_real(r, "wall_s"));
}

static lt_status prepare(cli_call *call)
{
    return lt_optset_set(call->set, "audit.shadow-cap", "1000", "demo"); // the SVC costs the square of it
}

const cli_verb cli_verb_demo = {
    .name = "demo",
    .usage = "[options]",
    .about =
        "Trains a narrow ResNet-18, makes it forget a tenth of its training samples by several methods, retrains a "
        "model\n"
        "without them as the oracle, compares all in one table and writes report.html. Takes minutes on two cores. "
        "Every\n"
        "step leaves a run directory under --out (default runs/demo) that `lethe eval`, `audit` and `report` can read.",
    .examples = "  lethe demo\n"
                "  lethe demo --data cifar10:/data/cifar-10-batches-bin,train-limit=10000 --width 16 --epochs 40\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .run = run,
    .print = print,
};
