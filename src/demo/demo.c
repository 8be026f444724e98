// demo.c - the steps of the demonstration, one after another, and the comparison at its end.
#include "lethe/demo.h"
#include "base/json_write.h"
#include "lethe/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// The sizes of the demo, all in one place: small enough for four minutes on two cores, large enough that membership
// leaks.
const lt_option lt_demo_options[] = {
    LT_STR(lt_demo_cfg, data, NULL, "data set; default: cifar10 when it is found, else synthetic"),
    LT_I64(lt_demo_cfg, train_limit, 4000, 100, 1000000, "images",
           "training images, class-balanced (only without --data)"),
    LT_I64(lt_demo_cfg, test_limit, 1000, 100, 1000000, "images", "test images, class-balanced (only without --data)"),
    LT_STR(lt_demo_cfg, forget, "random:10%", "what is forgotten"),
    LT_U64(lt_demo_cfg, forget_seed, 1, "seed of the draw of a random forget set"),
    LT_STR(lt_demo_cfg, methods, "ft,ga,rl,amun,amun-no-retain",
           "methods to compare; the ending -no-retain: forget data only"),
    LT_I32(lt_demo_cfg, width, 8, 1, 512, "channels", "width of the ResNet-18 (the full one has 64)"),
    LT_I32(lt_demo_cfg, epochs, 25, 1, 100000, "epochs", "training epochs of the original and the retrained model"),
    LT_I64(lt_demo_cfg, batch, 64, 1, 65536, "images", "batch size of training"),
    LT_F32(lt_demo_cfg, lr, 0.1, 0, 100, "", "learning rate of training (one cycle)"),
    LT_BOOL(lt_demo_cfg, augment, 0,
            "crop and flip; without them the model memorises sooner, so that there is something to forget"),
    LT_BOOL(lt_demo_cfg, classes, 0,
            "forget a whole class: other defaults of forget (class:1) and methods (the class methods), two oracles"),
    LT_BOOL(lt_demo_cfg, with_images, 0, "show forgotten images and their adversarial examples on the page"),
    LT_I32(lt_demo_cfg, method_epochs, 0, 0, 100000, "epochs", "epochs of each method; 0 = the method's own default"),
    LT_OPT_END,
};

lt_status lt_demo_class_defaults(const lt_demo_cfg *cfg, lt_optset *set)
{
    if (!cfg->classes)
        return LT_OK;
    LT_TRY(lt_optset_set(set, "forget", "class:1", "demo"));
    return lt_optset_set(set, "methods", "logit-mask,ft,rl,delete,rwft,trw", "demo");
}

static char *spec_of(const char *kind, const lt_demo_cfg *cfg)
{
    return lti_asprintf("%s,train-limit=%lld,test-limit=%lld", kind, (long long)cfg->train_limit,
                        (long long)cfg->test_limit);
}

static lt_status open_spec(char *text, lt_events *events, char **spec, lt_dataset **ds) // takes text
{
    lti_free(*spec);
    *spec = text;
    return text ? lt_dataset_open(text, events, ds) : LTI_NOMEM("data set");
}

lt_status lt_demo_open_data(const lt_demo_cfg *cfg, lt_events *events, char **spec, lt_dataset **ds, bool *is_stand_in)
{
    *spec = NULL;
    *ds = NULL;
    *is_stand_in = false;
    if (cfg->data && *cfg->data)
        return open_spec(lti_strdup(cfg->data), events, spec, ds);
    const lt_status status = open_spec(spec_of("cifar10", cfg), events, spec, ds);
    if (status == LT_OK || (status != LT_E_USAGE && status != LT_E_INPUT))
        return status; // found; or found and damaged, which must not be passed over
    lt_error_clear();
    *is_stand_in = true;
    return open_spec(spec_of("synthetic", cfg), events, spec, ds);
}

// ---- the steps

typedef struct step_spec { // one unlearning
    const lt_unlearn_method *method;
    bool use_retain;
    int oracle; // 1, 2, ...: number of the oracle; 0 = it is none
    const char *name;
} step_spec;

typedef struct demo { // what must be given back
    const lt_demo_order *order;
    lti_arena texts;
    lt_trained_model base;
    step_spec *unlearning; // (n_unlearning) oracles first
    const char **run;      // (1 + n_unlearning) directories
    double *work;          // (2 + n_unlearning) expected work of each step, in images trained on; the last: the audit
    int n_unlearning, n_runs, step;
} demo;

// name: a method, perhaps with the ending -no-retain.
static lt_status find_method(demo *d, const char *name, step_spec *s)
{
    static const char ending[] = "-no-retain";
    const size_t n = strlen(name), m = strlen(ending);
    s->name = name;
    s->use_retain = !(n > m && !strcmp(name + n - m, ending));
    char *plain = lti_arena_strdup(&d->texts, name);
    if (!plain)
        return LTI_NOMEM("demo");
    if (!s->use_retain)
        plain[n - m] = '\0';
    return lt_unlearn_find(plain, &s->method);
}

static const lt_unlearn_method *oracle_method(void)
{
    for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++)
        if ((*m)->needs & LT_FROM_SCRATCH)
            return *m;
    LT_BUG("no method trains from scratch");
}

static lt_status plan_steps(demo *d)
{
    const lt_demo_cfg *cfg = &d->order->cfg;
    const int n_oracles = cfg->classes ? 2 : 1; // class-MIA has a scale with two
    int most = n_oracles + 1;
    for (const char *p = cfg->methods; *p; p++)
        most += *p == ',';
    d->unlearning = lti_calloc((size_t)most, sizeof *d->unlearning);
    d->run = lti_calloc((size_t)most + 1, sizeof *d->run);
    d->work = lti_calloc((size_t)most + 2, sizeof *d->work);
    if (!d->unlearning || !d->run || !d->work)
        return LTI_NOMEM("demo");
    for (int i = 1; i <= n_oracles; i++)
        d->unlearning[d->n_unlearning++] = (step_spec){oracle_method(), true, i, oracle_method()->name};
    for (const char *p = cfg->methods; *p;) {
        const size_t n = strcspn(p, ",");
        char *name = lti_arena_strdup(&d->texts, p);
        if (!name)
            return LTI_NOMEM("demo");
        name[n] = '\0';
        if (n > 0)
            LT_TRY(find_method(d, name, &d->unlearning[d->n_unlearning++]));
        p += n + (p[n] == ',');
    }
    return LT_OK;
}

// The expected work of all steps: remaining times are of the whole demo.
static void estimate_work(demo *d)
{
    // Of a search, for each forgotten image; of all audits, for each training image.
    enum { SEARCH_IMAGES = 60, AUDIT_IMAGES = 6 };
    const lt_demo_cfg *cfg = &d->order->cfg;
    const double n = (double)d->order->ds->split[LT_TRAIN].n, n_forget = 0.1 * n;
    d->work[0] = n * cfg->epochs;
    for (int i = 0; i < d->n_unlearning; i++) {
        const step_spec *s = &d->unlearning[i];
        const int32_t epochs = s->oracle                ? cfg->epochs
                               : cfg->method_epochs > 0 ? cfg->method_epochs
                                                        : lt_unlearn_default_epochs(s->method, s->use_retain);
        d->work[1 + i] = (s->use_retain && !(s->method->needs & LT_FORGET_ONLY) ? n : n_forget) * epochs;
        d->work[1 + i] += s->method->needs & LT_NEED_ATTACK ? SEARCH_IMAGES * n_forget : 0;
    }
    d->work[1 + d->n_unlearning] = AUDIT_IMAGES * n;
}

static void report_step(const demo *d, lt_demo_step step)
{
    double before = 0, all = 0;
    for (int i = 0; i < d->n_unlearning + 2; i++) {
        before += i < d->step - 1 ? d->work[i] : 0;
        all += d->work[i];
    }
    step.number = d->step;
    step.n_steps = d->n_unlearning + 1;
    step.from = before / all;
    step.to = (before + d->work[d->step - 1]) / all;
    if (d->order->on_step)
        d->order->on_step(d->order->ctx, &step);
}

static lt_demo_step step_begin(const char *title)
{
    const double unknown = (double)NAN;
    return (lt_demo_step){
        .title = title, .train_acc = unknown, .forget_acc = unknown, .test_acc = unknown, .seconds = unknown};
}

static char *text_of(demo *d, char *text) // takes it; NULL = out of memory
{
    char *kept = text ? lti_arena_strdup(&d->texts, text) : NULL;
    lti_free(text);
    return kept;
}

static lt_status begin_step(demo *d, const char *name, char *title, const char **dir) // takes title
{
    char *kept = text_of(d, title);
    *dir = text_of(d, lti_asprintf("%s/%s", d->order->out, name));
    if (!kept || !*dir)
        return LTI_NOMEM("demo");
    d->run[d->n_runs++] = *dir;
    d->step++;
    report_step(d, step_begin(kept));
    return LT_OK;
}

static lt_status train_base(demo *d)
{
    const lt_demo_order *o = d->order;
    const lt_demo_cfg *cfg = &o->cfg;
    lt_train_order order;
    lt_train_record r;
    char model[64];
    const char *dir;
    lti_format(model, sizeof model, "resnet18:width=%d", (int)cfg->width);
    LT_TRY(begin_step(d, "base", lti_asprintf("training resnet18 of width %d on %s", (int)cfg->width, o->data), &dir));
    lt_train_order_defaults(&order);
    order.what.data = o->data;
    order.what.model = model;
    order.cfg.epochs = cfg->epochs;
    order.cfg.batch = cfg->batch;
    order.cfg.lr = cfg->lr;
    order.cfg.schedule = LT_SCHED_ONECYCLE; // a cosine from the full rate on gives models that differ by ten points
    order.cfg.augment = cfg->augment;
    order.cfg.eval_every = cfg->epochs > 10 ? cfg->epochs / 10 : 1;
    order.seed = o->seed;
    order.compute = o->compute;
    order.ds = o->ds;
    order.env = o->env;
    order.out = dir;
    order.force = o->force;
    lt_status status = lt_train_dir(&order, &r);
    if (status == LT_OK) {
        lt_demo_step done = step_begin(NULL);
        done.is_done = true;
        done.train_acc = r.train_acc;
        done.test_acc = r.test_acc;
        done.seconds = r.wall_s;
        report_step(d, done);
        status = lt_trained_model_open(dir, NULL, NULL, &d->base);
    }
    lt_train_record_clear(&r);
    return status;
}

// Of what the demo has options for, those that the method has.
static lt_status fill_method(const lt_demo_cfg *cfg, const lt_unlearn_method *method, void *method_cfg)
{
    lt_optset *set;
    char epochs[16];
    lti_format(epochs, sizeof epochs, "%d", (int)cfg->method_epochs);
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", method->opts, method_cfg, 0);
    if (status == LT_OK && cfg->method_epochs > 0 && lt_optset_has(set, "epochs"))
        status = lt_optset_set(set, "epochs", epochs, "demo");
    lt_optset_destroy(set); // the demo sets no texts, so method_cfg stays valid
    return status;
}

static lt_status run_method(demo *d, const step_spec *s, void *method_cfg, const char *dir, const char *cache)
{
    const lt_demo_order *o = d->order;
    lt_unlearn_order order;
    lt_unlearn_record r;
    lt_unlearn_order_defaults(s->method, method_cfg, &order);
    LT_TRY(fill_method(&o->cfg, s->method, method_cfg));
    order.what.forget = o->cfg.forget;
    order.what.forget_seed = o->cfg.forget_seed;
    order.what.use_retain_data = s->use_retain;
    order.what.save_adv = o->cfg.with_images;
    order.seed = o->seed + (uint64_t)s->oracle;
    order.compute = o->compute;
    order.base = &d->base;
    order.ds = o->ds;
    order.env = o->env;
    order.cache_dir = cache;
    order.out = dir;
    order.force = o->force;
    LT_TRY(lt_make_dirs(cache));
    LT_TRY(lt_unlearn_dir(&order, &r));
    lt_demo_step done = step_begin(NULL);
    done.is_done = true;
    done.forget_acc = r.after.forget_acc;
    done.test_acc = r.after.test_acc;
    done.seconds = r.update_s + r.search_s;
    report_step(d, done);
    lt_unlearn_record_clear(&r);
    return LT_OK;
}

static lt_status unlearn(demo *d, const step_spec *s)
{
    const char *dir, *cache = text_of(d, lti_asprintf("%s/cache", d->order->out));
    const char *what = s->oracle ? ", without the forget set: the oracle" : !s->use_retain ? ", forget data only" : "";
    char *name = text_of(d, s->oracle > 1 ? lti_asprintf("%s-%d", s->name, s->oracle) : lti_strdup(s->name));
    void *cfg = lti_calloc(1, s->method->cfg_size + 1);
    lt_status status = cache && name && cfg ? LT_OK : LTI_NOMEM("demo");
    if (status == LT_OK)
        status = begin_step(d, name, lti_asprintf("%s%s", s->method->title, what), &dir);
    if (status == LT_OK)
        status = run_method(d, s, cfg, dir, cache);
    lti_free(cfg);
    return status;
}

// ---- the end

static char *write_result(const demo *d, const lt_run_comparison *c, const char *page, double start_s)
{
    lti_json j = {0};
    char *rows = lt_comparison_json(&c->comparison);
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "data", d->order->data);
    lti_json_bool(&j, "synthetic", d->order->is_stand_in);
    lti_json_text(&j, "out", d->order->out);
    lti_json_text(&j, "report", page);
    lti_json_int(&j, "n_forget", c->sets.forget.n);
    lti_json_raw(&j, "rows", rows ? rows : "null");
    lti_json_real(&j, "wall_s", lti_now_s() - start_s);
    lti_json_end(&j, '}');
    char *json = lti_json_take(&j);
    if (!rows) {
        free(json);
        json = NULL;
    }
    free(rows);
    return json;
}

static lt_status write_page(const demo *d, const lt_run_comparison *c, const char *page)
{
    lt_report *report;
    const lt_report_options options = {.title = "lethe demo: what forgetting looks like",
                                       .with_images = d->order->cfg.with_images,
                                       .backend = d->order->env->backend};
    LT_TRY(lt_report_compare(c, &options, &report));
    const lt_status status = lt_report_write(report, &(lt_report_files){.page = page});
    lt_report_destroy(report);
    return status;
}

static lt_status compare(demo *d, double start_s, char **json)
{
    const lt_demo_order *o = d->order;
    lt_run_comparison c = {0};
    lt_audit_cfg audit = o->audit;
    const lt_mia_set_spec attacks = {.seed = o->seed, .n_threads = o->n_threads};
    char *page = text_of(d, lti_asprintf("%s/report.html", o->out));
    if (!page)
        return LTI_NOMEM("demo");
    audit.seed = o->seed;
    d->step++;
    report_step(d, step_begin(NULL));
    const lt_compare_spec spec = {.run = d->run,
                                  .n_runs = d->n_runs,
                                  .ds = o->ds,
                                  .attacks = &attacks,
                                  .audit = &audit,
                                  .seed = o->seed,
                                  .env = o->env};
    lt_status status = lt_compare_runs(&spec, &c);
    if (status == LT_OK)
        status = write_page(d, &c, page);
    if (status == LT_OK) {
        *json = write_result(d, &c, page, start_s);
        status = *json ? LT_OK : LTI_NOMEM("demo");
    }
    lt_run_comparison_clear(&c);
    return status;
}

// Methods share the adversarial examples of forgotten images while they run; keeping them was not requested.
static lt_status clear_cache(demo *d)
{
    const char *cache = text_of(d, lti_asprintf("%s/cache", d->order->out));
    return cache ? lt_adv_cache_clear(cache, false, NULL, NULL) : LTI_NOMEM("demo");
}

static lt_status run_steps(demo *d, char **json)
{
    const double start_s = lti_now_s();
    LT_TRY(plan_steps(d));
    estimate_work(d);
    LT_TRY(train_base(d));
    for (int i = 0; i < d->n_unlearning; i++)
        LT_TRY(unlearn(d, &d->unlearning[i]));
    LT_TRY(compare(d, start_s, json));
    return clear_cache(d);
}

lt_status lt_demo_run(const lt_demo_order *order, char **json)
{
    demo d = {.order = order};
    *json = NULL;
    const lt_status status = run_steps(&d, json);
    if (status != LT_OK) {
        free(*json);
        *json = NULL;
    }
    lt_trained_model_close(&d.base);
    lti_free(d.unlearning);
    lti_free(d.run);
    lti_free(d.work);
    lti_arena_clear(&d.texts);
    return status;
}
