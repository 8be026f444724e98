// cmd_demo.c - `lethe demo`: train, retrain without a forget set, unlearn it by several methods, audit, report.
//
// Every step is a run directory like those of `lethe train` and `lethe unlearn`, made by the same calls of the library,
// so all of it can be looked at afterwards with eval, audit and report, and a demo that was interrupted goes on where
// it stopped.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// The sizes of the demo, all in one place: small enough for four minutes on two cores, large enough that membership
// leaks.
struct opts {
    const char *data, *forget, *methods;
    int32_t width, epochs, method_epochs;
    int64_t train_limit, test_limit, batch;
    float lr;
    bool augment, classes, with_images;
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
    LT_F32(struct opts, lr, 0.1, 0, 100, "", "learning rate of training (cosine schedule)"),
    LT_BOOL(struct opts, augment, 0,
            "crop and flip; without them the model memorises sooner, so that there is something to forget"),
    LT_BOOL(struct opts, classes, 0,
            "forget a whole class: other defaults of forget (class:1) and methods (the class methods), two oracles"),
    LT_BOOL(struct opts, with_images, 0, "show forgotten images and their adversarial examples on the page"),
    LT_I32(struct opts, method_epochs, 0, 0, 100000, "epochs", "epochs of each method; 0 = the method's own default"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Sizes", own, 0, LT_OPTGROUP_FLAGS},
    {"audit", "Audit", lt_audit_options, offsetof(struct opts, audit), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

struct demo {
    char *out, *spec;
    const lt_dataset *ds;
    lt_env env;
    lt_trained_model base;
    cli_list methods, runs;
    int step, n_steps;
    double *images; // (n_steps + 1) expected work of each step, in images trained on; the last one: the audit
    bool synthetic;
    int n_oracles; // number of the oracle that is being made
};

// ---- data: the real one when it is there

static lt_status choose_data(cli_call *call, struct demo *d)
{
    const struct opts *o = call->opts;
    if (o->data && *o->data) {
        d->spec = cli_format("%s", o->data);
        return cli_dataset(call, d->spec, &d->ds);
    }
    d->spec =
        cli_format("cifar10,train-limit=%lld,test-limit=%lld", (long long)o->train_limit, (long long)o->test_limit);
    lt_status status = cli_dataset(call, d->spec, &d->ds);
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
    return cli_dataset(call, d->spec, &d->ds);
}

// ---- steps

// name: a method, perhaps with the ending -no-retain.
static lt_status find_method(const char *name, const lt_unlearn_method **method, bool *use_retain)
{
    static const char ending[] = "-no-retain";
    const size_t n = strlen(name), m = strlen(ending);
    *use_retain = !(n > m && !strcmp(name + n - m, ending));
    char *plain = cli_format("%.*s", (int)(*use_retain ? n : n - m), name);
    lt_status status = lt_unlearn_find(plain, method);
    free(plain);
    return status;
}

// The expected work of all steps: remaining times are of the whole demo.
static lt_status plan_work(cli_call *call, struct demo *d)
{
    // Of a search, for each forgotten image; of all audits, for each training image.
    enum { SEARCH_IMAGES = 60, AUDIT_IMAGES = 6 };
    const struct opts *o = call->opts;
    const double n = (double)d->ds->split[LT_TRAIN].n, n_forget = 0.1 * n;
    d->images = cli_alloc((size_t)d->n_steps + 1, sizeof *d->images);
    for (int i = 0; i < d->n_steps - d->methods.n; i++)
        d->images[i] = n * o->epochs;
    for (int i = 0; i < d->methods.n; i++) {
        const lt_unlearn_method *method;
        bool use_retain;
        LT_TRY(find_method(d->methods.item[i], &method, &use_retain));
        const int32_t epochs = o->method_epochs > 0 ? o->method_epochs : lt_unlearn_default_epochs(method, use_retain);
        double *work = &d->images[d->n_steps - d->methods.n + i];
        *work = (use_retain && !(method->needs & LT_FORGET_ONLY) ? n : n_forget) * epochs;
        *work += method->needs & LT_NEED_ATTACK ? SEARCH_IMAGES * n_forget : 0;
    }
    d->images[d->n_steps] = AUDIT_IMAGES * n;
    return LT_OK;
}

// Of step number d->step, 1-based; n_steps + 1 is the audit.
static void show_part(cli_call *call, const struct demo *d)
{
    double before = 0, all = 0;
    for (int i = 0; i <= d->n_steps; i++) {
        before += i + 1 < d->step ? d->images[i] : 0;
        all += d->images[i];
    }
    cli_progress_part(call->session->progress, before / all, (before + d->images[d->step - 1]) / all);
}

static char *begin_step(cli_call *call, struct demo *d, const char *name, const char *title)
{
    d->step++;
    cli_say(call->session, "[%d/%d] %s", d->step, d->n_steps, title);
    show_part(call, d);
    cli_progress_stage(call->session->progress, "[%d/%d]", d->step, d->n_steps);
    return cli_format("%s/%s", d->out, name);
}

static void end_step(struct demo *d, char *dir) // takes it
{
    cli_list_push(&d->runs, dir, strlen(dir));
    free(dir);
}

static lt_status train_base(cli_call *call, struct demo *d)
{
    const struct opts *o = call->opts;
    lt_train_order order;
    lt_train_record r;
    char *model = cli_format("resnet18:width=%d", (int)o->width);
    char *title = cli_format("training resnet18 of width %d on %s", (int)o->width, d->spec);
    char *dir = begin_step(call, d, "base", title), train[24], test[24];
    lt_train_order_defaults(&order);
    order.what.data = d->spec;
    order.what.model = model;
    order.cfg.epochs = o->epochs;
    order.cfg.batch = o->batch;
    order.cfg.lr = o->lr;
    order.cfg.augment = o->augment;
    order.cfg.eval_every = o->epochs > 10 ? o->epochs / 10 : 1;
    order.seed = call->seed.seed;
    order.compute = call->compute;
    order.ds = d->ds;
    order.env = &d->env;
    order.out = dir;
    order.force = call->run_dir.force;
    lt_status status = lt_train_dir(&order, &r);
    if (status == LT_OK) {
        cli_say(call->session, "      train accuracy %s %%, test accuracy %s %%, %.1f s",
                cli_percent(r.train_acc, train), cli_percent(r.test_acc, test), r.wall_s);
        status = lt_trained_model_open(dir, NULL, NULL, &d->base);
    }
    lt_train_record_clear(&r);
    end_step(d, dir);
    free(title);
    free(model);
    return status;
}

// What the demo has options for, of those the method has.
static lt_status fill_method(const struct opts *o, const lt_unlearn_method *method, void *cfg)
{
    lt_optset *set;
    char epochs[16];
    snprintf(epochs, sizeof epochs, "%d", (int)o->method_epochs);
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", method->opts, cfg, 0);
    if (status == LT_OK && o->method_epochs > 0 && lt_optset_has(set, "epochs"))
        status = lt_optset_set(set, "epochs", epochs, "demo");
    lt_optset_destroy(set); // the demo sets no texts, so cfg stays valid
    return status;
}

static lt_status unlearn(cli_call *call, struct demo *d, const char *name)
{
    const struct opts *o = call->opts;
    const lt_unlearn_method *method;
    bool use_retain;
    lt_unlearn_order order;
    lt_unlearn_record r;
    char forget[24], test[24];
    LT_TRY(find_method(name, &method, &use_retain));
    const bool oracle = (method->needs & LT_FROM_SCRATCH) != 0;
    void *cfg = cli_alloc(method->cfg_size, 1);
    char *cache = cli_format("%s/cache", d->out);
    char *title = cli_format("%s%s", method->title,
                             oracle        ? ", without the forget set: the oracle"
                             : !use_retain ? ", forget data only"
                                           : "");
    char *step_name = oracle && d->n_oracles > 1 ? cli_format("%s-%d", name, d->n_oracles) : cli_format("%s", name);
    char *dir = begin_step(call, d, step_name, title);
    lt_unlearn_order_defaults(method, cfg, &order);
    lt_status status = fill_method(o, method, cfg);
    order.what.forget = o->forget;
    order.what.forget_seed = o->forget_seed;
    order.what.use_retain_data = use_retain;
    order.what.save_adv = o->with_images;
    order.seed = call->seed.seed + (uint64_t)(oracle ? d->n_oracles : 0);
    order.compute = call->compute;
    order.base = &d->base;
    order.ds = d->ds;
    order.env = &d->env;
    order.cache_dir = cache;
    order.out = dir;
    order.force = call->run_dir.force;
    if (status == LT_OK)
        status = lt_make_dirs(cache);
    if (status == LT_OK)
        status = lt_unlearn_dir(&order, &r);
    if (status == LT_OK) {
        cli_say(call->session, "      forget accuracy %s %%, test accuracy %s %%, %.1f s",
                cli_percent(r.after.forget_acc, forget), cli_percent(r.after.test_acc, test), r.update_s + r.search_s);
        lt_unlearn_record_clear(&r);
    }
    end_step(d, dir);
    free(step_name);
    free(title);
    free(cache);
    free(cfg);
    return status;
}

static lt_status report(cli_call *call, struct demo *d, double start_s)
{
    struct opts *o = call->opts;
    lt_run_comparison c = {0};
    json_t *rows = NULL;
    char *html = cli_format("%s/report.html", d->out);
    lt_report_options options = {.title = "lethe demo: what forgetting looks like", .with_images = o->with_images};
    o->audit.seed = call->seed.seed;
    d->step = d->n_steps + 1;
    show_part(call, d);
    lt_status status = cli_compare(
        call,
        &(cli_compare_options){.runs = (const char *const *)d->runs.item, .n_runs = d->runs.n, .audit = &o->audit}, &c);
    if (status == LT_OK)
        status = cli_compare_report(call, &c, &options, &(lt_report_files){.page = html});
    if (status == LT_OK)
        status = cli_json_take(lt_comparison_json(&c.comparison), &rows);
    if (status == LT_OK) {
        call->result = json_object();
        cli_put_text(call->result, "data", d->spec);
        cli_put(call->result, "synthetic", json_boolean(d->synthetic));
        cli_put_text(call->result, "out", d->out);
        cli_put_text(call->result, "report", html);
        cli_put(call->result, "n_forget", json_integer(c.sets.forget.n));
        cli_put(call->result, "rows", rows);
        cli_put_real(call->result, "wall_s", cli_now_s() - start_s);
    }
    lt_run_comparison_clear(&c);
    free(html);
    return status;
}

// Methods share the adversarial examples of forgotten images while they are made; nobody has asked to keep them.
static lt_status clear_cache(const struct demo *d)
{
    char *cache = cli_format("%s/cache", d->out);
    int64_t n_sets, n_bytes;
    const lt_status status = lt_adv_cache_clear(cache, false, &n_sets, &n_bytes);
    free(cache);
    return status;
}

static lt_status run_steps(cli_call *call, struct demo *d)
{
    const struct opts *o = call->opts;
    double start_s = cli_now_s();
    LT_TRY(choose_data(call, d));
    cli_catch_signals(call->session);
    LT_TRY(cli_env(call, &d->env));
    LT_TRY(plan_work(call, d));
    LT_TRY(train_base(call, d));
    for (d->n_oracles = 1; d->n_oracles <= (o->classes ? 2 : 1); d->n_oracles++) // class-MIA has a scale with two
        LT_TRY(unlearn(call, d, "retrain"));
    for (int i = 0; i < d->methods.n; i++)
        LT_TRY(unlearn(call, d, d->methods.item[i]));
    LT_TRY(report(call, d, start_s));
    return clear_cache(d);
}

// What --classes stands for, where nobody said otherwise.
static lt_status set_class_defaults(cli_call *call)
{
    static const char *const key[] = {"forget", "methods"};
    static const char *const value[] = {"class:1", "logit-mask,ft,rl,delete,rwft,trw"};
    for (int i = 0; i < 2 && ((const struct opts *)call->opts)->classes; i++)
        LT_TRY(lt_optset_set(call->set, key[i], value[i], "demo"));
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    LT_TRY(set_class_defaults(call));
    struct demo d = {.out =
                         cli_format("%s", call->run_dir.out && *call->run_dir.out ? call->run_dir.out : "runs/demo")};
    cli_list_add(&d.methods, o->methods);
    d.n_steps = (o->classes ? 3 : 2) + d.methods.n;
    lt_status status = run_steps(call, &d);
    if (status == LT_E_INTERRUPTED)
        lt_error_hint("the same command goes on where this one stopped");
    lt_trained_model_close(&d.base);
    cli_list_clear(&d.methods);
    cli_list_clear(&d.runs);
    free(d.out);
    free(d.spec);
    free(d.images);
    return status;
}

static const char sample_notes[] =
    "\nThe oracle was trained without the forgotten samples; the smaller the average gap to it (in points), the "
    "better.\n"
    "MIS: share of forgotten samples an SVC on the confidence calls non-members.\n";
static const char class_notes[] =
    "\nThe oracles were trained without the forgotten class; a method that forgot it behaves as they do.\n"
    "acc_f, acc_r: test accuracy on the forgotten class and on the others. SVC-MIA: share of the forgotten class's "
    "test\n"
    "images that an SVC on the confidence calls non-members; nearly every method reaches 100. class-MIA: share of "
    "them\n"
    "that is accepted as the nearest class that stays; gap: its distance from the oracles; TV: distance of the "
    "outputs\n"
    "from theirs (both in points, the smaller, the better). Read acc_f first: a method that leaves it above the "
    "oracles' "
    "has\n"
    "not forgotten the class, whatever its other metrics say. logit-mask is a control: it hides the class and "
    "unlearns\n"
    "nothing, so an audit that it passes proves nothing.\n";

static bool has_class_audits(const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row) if (json_object_get(row, "class_audit")) return true;
    return false;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result;
    fprintf(out, "\nForgetting %.0f training samples of %s\n\n", cli_real(r, "n_forget"), cli_text(r, "data"));
    cli_comparison_print(json_object_get(r, "rows"), out);
    const bool of_classes = has_class_audits(json_object_get(r, "rows"));
    fputs(of_classes ? class_notes : sample_notes, out);
    fprintf(out,
            "Every method ran with its default learning-rate area, scaled to the number of steps. These areas were "
            "found with\noracles%s: what a method reaches here is not what it reaches untuned.\n"
            "Report: %s    (%.0f s)\n",
            of_classes ? ", those of whole classes on other data" : ", some of them on this very demo",
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
                "  lethe demo --classes\n"
                "  lethe demo --data cifar10:/data/cifar-10-batches-bin,train-limit=10000 --width 16 --epochs 40\n",
    .uses = CLI_COMPUTE | CLI_SEED | CLI_PLACE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .prepare = prepare,
    .run = run,
    .print = print,
};
