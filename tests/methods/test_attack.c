// test_attack.c - the adversarial search against a plain per-sample reference, its guarantees, cache, interruption.
#include "method_test.h"
#include <sys/time.h>
#include <signal.h>
#include "lethe/run.h"
#include "attack/attack_impl.h"

enum { SEARCHED = 48 }; // training images, of every class

static lt_view searched(void)
{
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    view.n = SEARCHED;
    return view;
}

static lt_adv_set *search(const lt_model *model, lt_adv_search_cfg cfg)
{
    const lt_view view = searched();
    lt_adv_set *set;
    assert_ok(lt_adv_search(model, &view, &cfg, &world.env, NULL, &set));
    return set;
}

// ---- the algorithm again, one sample at a time, straight from its description

typedef struct oracle {
    const lt_model *model;
    lt_graph *g;
    lt_val labels, loss;
    lt_plan *plan;
} oracle;

static void oracle_init(oracle *o, const lt_model *model)
{
    o->model = model;
    assert_ok(lt_graph_dup(model->graph, &o->g));
    o->labels = lt_input(o->g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    lt_val ce = lt_cross_entropy(o->g, model->logits, o->labels, 0.0f),
           one = lt_input(o->g, "one", LT_F32, LT_SHAPE(LT_BATCH));
    o->loss = lt_weighted_sum(o->g, ce, one);
    assert_ok(lt_graph_status(o->g));
    const lt_plan_spec spec = {.outs = &model->logits,
                               .n_outs = 1,
                               .grad_of = o->loss,
                               .seed = LT_NONE,
                               .wrt = &model->x,
                               .n_wrt = 1,
                               .batch = 1,
                               .dtype = LT_F32,
                               .flags = LT_PLAN_NO_TUNE};
    assert_ok(lt_plan_create(o->g, &spec, world.backend, &o->plan));
    assert_ok(lt_plan_bind(o->plan, model->params, model->state, NULL));
    *(float *)lt_plan_buffer(o->plan, one) = 1.0f;
}

static void oracle_clear(oracle *o)
{
    lt_plan_destroy(o->plan);
    lt_graph_destroy(o->g);
}

// Prediction at x, and the gradient of the loss of label y there.
static int oracle_run(oracle *o, const double *x, int32_t y, const float **grad)
{
    float *in = lt_plan_buffer(o->plan, o->model->x);
    for (int j = 0; j < TOY_DIM; j++)
        in[j] = (float)x[j];
    *(int32_t *)lt_plan_buffer(o->plan, o->labels) = y;
    assert_ok(lt_plan_run(o->plan));
    const float *z = lt_plan_buffer(o->plan, o->model->logits);
    int best = 0;
    for (int j = 1; j < TOY_K; j++)
        best = z[j] > z[best] ? j : best;
    *grad = lt_plan_grad(o->plan, 0);
    return best;
}

typedef struct plain_result {
    double x[TOY_DIM], eps, delta;
    int status, iters, rounds, clean, pred;
} plain_result;

static double plain_norm(const double *a, const double *b)
{
    double sum = 0;
    for (int j = 0; j < TOY_DIM; j++)
        sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sqrt(sum);
}

static void plain_step(const double *x, const float *g, double rho, plain_result *r)
{
    double norm = 0;
    for (int j = 0; j < TOY_DIM; j++)
        norm += (double)g[j] * (double)g[j];
    norm = sqrt(norm);
    assert_true(norm > 0);
    for (int j = 0; j < TOY_DIM; j++)
        r->x[j] += rho * r->eps * (double)g[j] / norm;
    double far = plain_norm(r->x, x);
    for (int j = 0; j < TOY_DIM; j++) {
        if (far > r->eps)
            r->x[j] = x[j] + (r->x[j] - x[j]) * r->eps / far;
        r->x[j] = r->x[j] < 0 ? 0 : r->x[j] > 1 ? 1 : r->x[j];
    }
    r->iters++;
}

static plain_result plain_search(oracle *o, int row, const lt_adv_search_cfg *cfg)
{
    plain_result r = {.eps = (double)cfg->eps0};
    double x[TOY_DIM];
    const float *g;
    int32_t y = world.ds->split[LT_TRAIN].y[row];
    for (int j = 0; j < TOY_DIM; j++)
        r.x[j] = x[j] = world.ds->split[LT_TRAIN].x[row * TOY_DIM + j] / 255.0;
    r.clean = r.pred = oracle_run(o, x, y, &g);
    if (r.clean != y) {
        r.status = LT_ADV_CLEAN_WRONG;
        return r;
    }
    for (r.rounds = 1; r.rounds <= cfg->max_doublings + 1; r.rounds++) {
        if (cfg->restart_from_clean)
            memcpy(r.x, x, sizeof x);
        for (int s = 0; s < cfg->steps; s++) {
            if ((r.pred = oracle_run(o, r.x, y, &g)) != y)
                goto done;
            plain_step(x, g, (double)cfg->step_ratio, &r);
        }
        if ((r.pred = oracle_run(o, r.x, y, &g)) != y)
            goto done;
        if (r.rounds <= cfg->max_doublings)
            r.eps *= 2;
    }
    r.rounds--;
    r.status = LT_ADV_FAILED;
done:
    r.delta = plain_norm(r.x, x);
    return r;
}

static void compare_with_plain(lt_adv_search_cfg cfg)
{
    oracle o;
    lt_adv_set *set = search(world.model, cfg);
    int n_ok = 0;
    oracle_init(&o, world.model);
    for (int i = 0; i < SEARCHED; i++) {
        plain_result r = plain_search(&o, i, &cfg);
        assert_int_equal(set->status[i], r.status);
        assert_int_equal(set->clean_pred[i], r.clean);
        assert_int_equal(set->adv_pred[i], r.pred);
        assert_int_equal(set->rounds[i], r.rounds);
        assert_int_equal(set->iters[i], r.iters);
        assert_true(fabs((double)set->eps_final[i] - r.eps) < 1e-6 * r.eps);
        assert_true(fabs((double)set->delta_norm[i] - r.delta) < 2e-3 * r.eps);
        n_ok += r.status == LT_ADV_OK;
    }
    assert_true(n_ok > SEARCHED / 2);
    oracle_clear(&o);
    lt_adv_set_destroy(set);
}

static void equals_the_plain_algorithm(void **state)
{
    (void)state;
    compare_with_plain(toy_search_defaults());
    lt_adv_search_cfg cfg = toy_search_defaults();
    cfg.restart_from_clean = true;
    compare_with_plain(cfg);
    cfg.steps = 12;
    cfg.step_ratio = 0.3f;
    cfg.restart_from_clean = false;
    compare_with_plain(cfg);
}

static void batch_size_changes_nothing(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    cfg.batch = 1;
    lt_adv_set *one = search(world.model, cfg);
    const int64_t sizes[] = {7, 64, 128};
    for (int b = 0; b < 3; b++) {
        cfg.batch = sizes[b];
        lt_adv_set *many = search(world.model, cfg);
        assert_memory_equal(one->status, many->status, SEARCHED);
        assert_memory_equal(one->adv_pred, many->adv_pred, SEARCHED * sizeof(int32_t));
        assert_memory_equal(one->iters, many->iters, SEARCHED * sizeof(int32_t));
        for (int i = 0; i < SEARCHED * TOY_DIM; i++)
            assert_true(fabsf(one->x_adv[i] - many->x_adv[i]) < 1e-3f);
        // Finished samples cost nothing: as many gradients as with one sample at a time.
        assert_int_equal(one->n_backward, many->n_backward);
        lt_adv_set_destroy(many);
    }
    lt_adv_set_destroy(one);
}

// ---- guarantees [AMUN 12.1]

static void check_guarantees(const lt_model *model, const lt_adv_set *set)
{
    lt_view clean = searched(), view = clean;
    view.images = set->x_adv;
    float z[SEARCHED * TOY_K];
    lt_eval_result result;
    assert_ok(lt_evaluate(model, &view, &world.env, 16, z, NULL, &result));
    float x[TOY_DIM];
    for (int i = 0; i < SEARCHED; i++) {
        double dist = 0;
        lti_view_image(&clean, i, x);
        for (int j = 0; j < TOY_DIM; j++) {
            float v = set->x_adv[i * TOY_DIM + j];
            assert_true(v >= 0.0f && v <= 1.0f);
            dist += ((double)v - (double)x[j]) * ((double)v - (double)x[j]);
        }
        assert_true(sqrt(dist) <= (double)set->eps_final[i] * (1 + 1e-5));
        assert_true(fabs(sqrt(dist) - (double)set->delta_norm[i]) < 1e-5);
        assert_int_equal(set->label[i], world.ds->split[LT_TRAIN].y[i]);
        assert_int_equal(set->id[i], i);
        int best = 0;
        for (int j = 1; j < TOY_K; j++)
            best = z[i * TOY_K + j] > z[i * TOY_K + best] ? j : best;
        if (set->status[i] != LT_ADV_FAILED) {
            assert_int_equal(best, set->adv_pred[i]);
            assert_int_not_equal(best, set->label[i]);
        }
        if (set->status[i] == LT_ADV_CLEAN_WRONG)
            assert_true(dist == 0 && set->eps_final[i] == 0.1f && set->iters[i] == 0 && set->rounds[i] == 0);
    }
}

static void the_set_keeps_its_promises(void **state)
{
    (void)state;
    lt_adv_set *set = search(world.model, toy_search_defaults());
    check_guarantees(world.model, set);
    assert_int_equal(lt_adv_set_count(set, LT_ADV_FAILED), 0);
    assert_true(lt_adv_set_count(set, LT_ADV_OK) > SEARCHED * 3 / 4);
    lt_adv_set_destroy(set);
    lt_model *raw = toy_model(); // untrained: mostly wrong
    set = search(raw, toy_search_defaults());
    check_guarantees(raw, set);
    assert_true(lt_adv_set_count(set, LT_ADV_CLEAN_WRONG) > SEARCHED / 2);
    lt_adv_set_destroy(set);
    lt_model_destroy(raw);
}

// The kernels in use, whose rounding differs from batch size to batch size.
static void the_fast_backend_keeps_them_too(void **state)
{
    (void)state;
    lt_backend *ref = world.env.backend;
    assert_ok(lt_backend_create("auto", 1, &world.env.backend));
    lt_adv_set *set = search(world.model, toy_search_defaults());
    check_guarantees(world.model, set);
    assert_int_equal(lt_adv_set_count(set, LT_ADV_FAILED), 0);
    lt_adv_set_destroy(set);
    lt_backend_destroy(world.env.backend);
    world.env.backend = ref;
}

static void doublings_are_capped(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    cfg.eps0 = 1e-5f;
    cfg.max_doublings = 2;
    lt_adv_set *set = search(world.model, cfg);
    int64_t n_failed = lt_adv_set_count(set, LT_ADV_FAILED);
    assert_true(n_failed > SEARCHED * 3 / 4);
    for (int i = 0; i < SEARCHED; i++) {
        if (set->status[i] != LT_ADV_FAILED)
            continue;
        assert_int_equal(set->rounds[i], 3);
        assert_int_equal(set->iters[i], 3 * cfg.steps);
        assert_true(fabsf(set->eps_final[i] - 4e-5f) < 1e-9f);
        assert_int_equal(set->adv_pred[i], set->label[i]);
    }
    lt_adv_set_destroy(set);
}

// Cross-entropy saturates exactly (probabilities 0 and 1 in float), the margin does not.
static void a_saturated_loss_falls_back_to_the_margin(void **state)
{
    (void)state;
    lt_model *sharp = toy_trained(&world);
    lt_value_info w, b;
    assert_ok(lt_graph_value(sharp->graph, lt_graph_find(sharp->graph, "linear.weight"), &w));
    assert_ok(lt_graph_value(sharp->graph, lt_graph_find(sharp->graph, "linear.bias"), &b));
    for (int64_t i = 0; i < w.shape.dim[0] * w.shape.dim[1]; i++)
        sharp->params[w.slab_offset + i] *= 4096.0f;
    for (int64_t i = 0; i < b.shape.dim[0]; i++)
        sharp->params[b.slab_offset + i] *= 4096.0f;
    lt_adv_set *set = search(sharp, toy_search_defaults());
    check_guarantees(sharp, set);
    assert_int_equal(lt_adv_set_count(set, LT_ADV_FAILED), 0);
    lt_adv_set_destroy(set);
    for (int64_t i = 0; i < w.shape.dim[0] * w.shape.dim[1]; i++)
        sharp->params[w.slab_offset + i] = 0.0f; // a constant classifier: no gradient of any kind
    set = search(sharp, toy_search_defaults());
    for (int i = 0; i < SEARCHED; i++)
        assert_int_equal(set->status[i], set->clean_pred[i] == set->label[i] ? LT_ADV_FAILED : LT_ADV_CLEAN_WRONG);
    assert_int_equal(lt_adv_set_count(set, LT_ADV_FAILED), SEARCHED / TOY_K);
    lt_adv_set_destroy(set);
    lt_model_destroy(sharp);
}

static void buckets_are_full_or_nearly_so(void **state)
{
    (void)state;
    lti_grad g = {.n_buckets = 8, .size = {128, 64, 32, 16, 8, 4, 2, 1}};
    for (int64_t n = 1; n < 300; n++) {
        int b = lti_grad_bucket(&g, n);
        assert_true(b >= 0 && b < 8);
        if (g.size[b] > n)
            assert_true(4 * n >= 3 * g.size[b]); // padded by a quarter at most
        else
            assert_true(b == 0 || 3 * g.size[b - 1] > 4 * n);
    }
}

// ---- files and cache

static void sets_survive_a_file(void **state)
{
    (void)state;
    char *dir = toy_temp_dir();
    lt_adv_set *a = search(world.model, toy_search_defaults()), *b;
    assert_ok(lt_adv_set_save(a, dir));
    assert_ok(lt_adv_set_open(dir, &b));
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->x_adv, b->x_adv, SEARCHED * TOY_DIM * sizeof(float));
    assert_memory_equal(a->id, b->id, SEARCHED * sizeof(int64_t));
    assert_memory_equal(a->status, b->status, SEARCHED);
    assert_memory_equal(a->eps_final, b->eps_final, SEARCHED * sizeof(float));
    assert_true(a->search_s == b->search_s && a->n_backward == b->n_backward && a->n_forward == b->n_forward);
    char *csv = lti_asprintf("%s/adv.csv", dir), *text;
    size_t n;
    assert_ok(lt_read_file(csv, 1 << 20, &text, &n));
    assert_ptr_equal(strstr(text, "idx,label,orig_pred,adv_pred,smallest_eps,delta_norm,iters,rounds,status\n0,0,"),
                     text);
    int lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, SEARCHED + 1);
    lti_free(csv);
    free(text);
    lt_adv_set_destroy(a);
    lt_adv_set_destroy(b);
    toy_remove_dir(dir);
}

static void damaged_sets_are_refused(void **state)
{
    (void)state;
    char *dir = toy_temp_dir();
    lt_adv_set *a = search(world.model, toy_search_defaults()), *b;
    assert_fails(LT_E_INPUT, "adv.safetensors", lt_adv_set_open(dir, &b));
    float pixel = a->x_adv[5];
    a->x_adv[5] = 1.5f;
    assert_ok(lt_adv_set_save(a, dir));
    assert_fails(LT_E_FORMAT, "pixels in 0..1", lt_adv_set_open(dir, &b));
    a->x_adv[5] = NAN;
    assert_ok(lt_adv_set_save(a, dir));
    assert_fails(LT_E_FORMAT, "pixels in 0..1", lt_adv_set_open(dir, &b));
    a->x_adv[5] = pixel;
    a->adv_pred[3] = a->label[3];
    assert_ok(lt_adv_set_save(a, dir));
    assert_fails(LT_E_FORMAT, "sample 3", lt_adv_set_open(dir, &b));
    lt_adv_set_destroy(a);
    toy_remove_dir(dir);
}

typedef struct listener {
    char text[512];
    const char *stop_at; // event that raises the flag when its work is done
    int n_search;        // attack.done events
} listener;

static void listen(void *self, const lt_event *event)
{
    listener *l = self;
    if (event->text)
        snprintf(l->text, sizeof l->text, "%s", event->text);
    if (strcmp(event->name, "attack.done") == 0)
        l->n_search++;
    if (l->stop_at && strcmp(event->name, l->stop_at) == 0 && event->done == event->total)
        world.stop = 1;
}

static void results_are_cached(void **state)
{
    (void)state;
    char *dir = toy_temp_dir();
    listener ear = {0};
    assert_ok(lt_events_add(world.events, (lt_sink){listen, &ear}));
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_adv_search_cfg cfg = toy_search_defaults();
    lt_adv_set *a, *b;
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &a));
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &b));
    assert_int_equal(ear.n_search, 1);
    assert_string_equal(a->digest, b->digest);
    assert_memory_equal(a->x_adv, b->x_adv, (size_t)a->n * TOY_DIM * sizeof(float));
    assert_int_equal(b->id[1], world.forget.row[1]);
    lt_adv_set_destroy(b);
    // Another option, another model, other rows: another answer.
    cfg.steps = 20;
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &b));
    assert_string_not_equal(a->digest, b->digest);
    lt_adv_set_destroy(b);
    cfg = toy_search_defaults();
    view.n--;
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &b));
    assert_string_not_equal(a->digest, b->digest);
    lt_adv_set_destroy(b);
    view.n++;
    lt_model *other = toy_model();
    assert_ok(lt_adv_search(other, &view, &cfg, &world.env, dir, &b));
    assert_string_not_equal(a->digest, b->digest);
    lt_adv_set_destroy(b);
    lt_model_destroy(other);
    assert_int_equal(ear.n_search, 4);
    // A damaged entry is said, and made again.
    char *file = lti_asprintf("%s/%s/adv.safetensors", dir, a->digest);
    assert_ok(lt_write_file_atomic(file, "garbage", 7));
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &b));
    assert_int_equal(ear.n_search, 5);
    assert_contains(ear.text, "ignoring");
    assert_memory_equal(a->x_adv, b->x_adv, (size_t)a->n * TOY_DIM * sizeof(float));
    lt_adv_set_destroy(b);
    assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &b));
    assert_int_equal(ear.n_search, 5);
    lt_adv_set_destroy(a);
    lt_adv_set_destroy(b);
    lti_free(file);
    lt_events_remove(world.events, &ear);
    toy_remove_dir(dir);
}

static void an_unusable_cache_costs_only_a_warning(void **state)
{
    (void)state;
    char *dir = toy_temp_dir(), *file = lti_asprintf("%s/file", dir);
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    lt_adv_search_cfg cfg = toy_search_defaults();
    lt_adv_set *a;
    assert_ok(lt_write_file_atomic(file, "x", 1));
    assert_fails(LT_E_IO, "file",
                 lt_adv_search(world.model, &view, &cfg, &world.env, file, &a)); // known before the work
    lti_free(file);
    toy_remove_dir(dir);
}

// ---- interruption

static void compare_sets(const lt_adv_set *a, const lt_adv_set *b)
{
    assert_memory_equal(a->x_adv, b->x_adv, (size_t)a->n * TOY_DIM * sizeof(float));
    assert_memory_equal(a->status, b->status, (size_t)a->n);
    assert_memory_equal(a->iters, b->iters, (size_t)a->n * sizeof(int32_t));
    assert_memory_equal(a->eps_final, b->eps_final, (size_t)a->n * sizeof(float));
    assert_int_equal(a->n_backward, b->n_backward);
    assert_int_equal(a->n_forward, b->n_forward);
}

static void raise_stop(int signal_number)
{
    (void)signal_number;
    world.stop = 1;
}

static void an_interrupted_search_ends_with_the_same_bits(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    cfg.steps = 80;
    cfg.step_ratio = 0.04f; // long enough to be interrupted
    const lt_view view = searched();
    lt_adv_set *whole = search(world.model, cfg), *set = NULL;
    // At two certain points: in the first evaluation, of which nothing is kept, and before the verification.
    static const char *const points[] = {"eval.progress", "attack.progress"};
    for (int p = 0; p < 2; p++) {
        char *dir = toy_temp_dir();
        listener ear = {.stop_at = points[p]};
        assert_ok(lt_events_add(world.events, (lt_sink){listen, &ear}));
        assert_fails(LT_E_INTERRUPTED, "interrupted", lt_adv_search(world.model, &view, &cfg, &world.env, dir, &set));
        world.stop = 0;
        ear.stop_at = NULL;
        assert_ok(lt_adv_search(world.model, &view, &cfg, &world.env, dir, &set));
        assert_int_equal(strstr(ear.text, "continuing") != NULL, p == 1);
        compare_sets(whole, set);
        lt_adv_set_destroy(set);
        lt_events_remove(world.events, &ear);
        toy_remove_dir(dir);
    }
    // At whatever points a timer hits, with ever longer turns until it is done.
    char *dir = toy_temp_dir();
    listener ear = {0};
    assert_ok(lt_events_add(world.events, (lt_sink){listen, &ear}));
    signal(SIGALRM, raise_stop);
    lt_status status = LT_E_INTERRUPTED;
    for (int turn = 1; status == LT_E_INTERRUPTED; turn++) {
        world.stop = 0;
        setitimer(ITIMER_REAL,
                  &(struct itimerval){.it_value.tv_sec = turn / 100, .it_value.tv_usec = turn % 100 * 10000}, NULL);
        status = lt_adv_search(world.model, &view, &cfg, &world.env, dir, &set);
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    }
    signal(SIGALRM, SIG_DFL);
    world.stop = 0;
    assert_int_equal(status, LT_OK);
    compare_sets(whole, set);
    lt_adv_set_destroy(set);
    lt_adv_set_destroy(whole);
    lt_events_remove(world.events, &ear);
    toy_remove_dir(dir);
}

// ---- misuse and shortage

static void misuse_is_named(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_adv_set *set;
    view.n = 0;
    assert_fails(LT_E_USAGE, "at least one sample", lt_adv_search(world.model, &view, &cfg, &world.env, NULL, &set));
    lt_model *wide;
    assert_ok(lt_model_create(TOY_MODEL, (lt_model_shape){TOY_C, 16, 16, TOY_K}, &wide));
    view.n = SEARCHED;
    assert_fails(LT_E_SHAPE, "1x16x16", lt_adv_search(wide, &view, &cfg, &world.env, NULL, &set));
    lt_model_destroy(wide);
    const lt_attack *attack;
    assert_fails(LT_E_USAGE, "amun-serch", lt_attack_find("amun-serch", &attack));
    assert_contains(lt_error_get()->hint, "amun-search");
    assert_ok(lt_attack_find("amun-search", &attack));
    assert_int_equal(attack->cfg_size, sizeof cfg);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    lt_view view = lt_view_rows(world.ds, LT_TRAIN, &(lt_index_set){.n = 3, .row = world.forget.row});
    lt_adv_set *set = NULL;
    lt_status status = LT_E_NOMEM;
    int64_t before = lti_alloc_count();
    for (int64_t n = 1; status != LT_OK; n = toy_next_failure(n)) {
        lti_alloc_fail_at(n);
        status = lt_adv_search(world.model, &view, &cfg, &world.env, NULL, &set);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    assert_true(lti_alloc_count() - before > 100);
    lt_adv_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_plain_algorithm),
        cmocka_unit_test(batch_size_changes_nothing),
        cmocka_unit_test(the_set_keeps_its_promises),
        cmocka_unit_test(the_fast_backend_keeps_them_too),
        cmocka_unit_test(doublings_are_capped),
        cmocka_unit_test(a_saturated_loss_falls_back_to_the_margin),
        cmocka_unit_test(buckets_are_full_or_nearly_so),
        cmocka_unit_test(sets_survive_a_file),
        cmocka_unit_test(damaged_sets_are_refused),
        cmocka_unit_test(results_are_cached),
        cmocka_unit_test(an_unusable_cache_costs_only_a_warning),
        cmocka_unit_test(an_interrupted_search_ends_with_the_same_bits),
        cmocka_unit_test(misuse_is_named),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
