// method_test.h - a toy world for tests of attacks, unlearning and signals: tiny images, a tiny network, trained in
// milliseconds.
#ifndef LT_METHOD_TEST_H
#define LT_METHOD_TEST_H
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/base.h"
#include "lethe/attack.h"
#include "lethe/audit.h"
#include "lethe/unlearn.h"

enum {
    TOY_C = 1,
    TOY_H = 8,
    TOY_DIM = TOY_C * TOY_H * TOY_H,
    TOY_K = 4,
    TOY_TRAIN = 120,
    TOY_TEST = 60,
    TOY_FORGET = 24,
    TOY_CLASS = 1,
    TOY_PER_CLASS = TOY_TRAIN / TOY_K
};
#define TOY_MODEL "simple-conv:width=4"

typedef struct toy_world {
    lt_dataset *ds;
    lt_model *model;                         // trained
    lt_index_set forget, retain;             // a fifth of the samples, of every class
    lt_index_set class_forget, class_retain; // class TOY_CLASS
    lt_backend *backend;
    lt_events *events;
    volatile int stop;
    lt_env env;
    lt_train_cfg recipe;
} toy_world;

// Class y lights quadrant y; noise is large enough that some test images are misread.
static inline void toy_images(uint32_t step, int n, uint8_t *x, int32_t *y)
{
    for (int i = 0; i < n; i++) {
        lt_rng rng = lt_rng_at(11, LT_STREAM_TEST, step, (uint64_t)i);
        y[i] = i % TOY_K;
        for (int j = 0; j < TOY_DIM; j++) {
            int quadrant = (j / TOY_H >= TOY_H / 2) * 2 + (j % TOY_H >= TOY_H / 2);
            double v = 110 + (quadrant == y[i] ? 28 : 0) + 45 * lt_rng_normal(&rng);
            x[i * TOY_DIM + j] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static inline lt_dataset *toy_dataset(void)
{
    static uint8_t train_x[TOY_TRAIN * TOY_DIM], test_x[TOY_TEST * TOY_DIM];
    static int32_t train_y[TOY_TRAIN], test_y[TOY_TEST];
    lt_dataset *ds;
    toy_images(0, TOY_TRAIN, train_x, train_y);
    toy_images(1, TOY_TEST, test_x, test_y);
    assert_ok(
        lt_dataset_from_arrays(TOY_C, TOY_H, TOY_H, TOY_K, TOY_TRAIN, train_x, train_y, TOY_TEST, test_x, test_y, &ds));
    return ds;
}

static inline lt_model *toy_model(void)
{
    lt_model *m;
    assert_ok(lt_model_create(TOY_MODEL, (lt_model_shape){TOY_C, TOY_H, TOY_H, TOY_K}, &m));
    lt_model_init(m, 1);
    return m;
}

// The defaults of the search for neighbours, for the toy: its boundaries are farther than those of real images.
static inline lt_adv_search_cfg toy_search_defaults(void)
{
    lt_adv_search_cfg cfg;
    lt_options_defaults(lt_adv_search_options, &cfg);
    cfg.eps0 = 0.1f;
    cfg.batch = 16;
    return cfg;
}

static inline void toy_init(toy_world *w)
{
    *w = (toy_world){.ds = toy_dataset(), .model = toy_model()};
    // Plain loops: for a network this small, faster than making oneDNN's kernels.
    assert_ok(lt_backend_create("ref", 1, &w->backend));
    assert_ok(lt_events_create(&w->events));
    w->env = (lt_env){.backend = w->backend, .plan_flags = LT_PLAN_NO_TUNE, .events = w->events, .stop = &w->stop};
    w->forget = (lt_index_set){.n = TOY_FORGET, .row = lti_calloc(TOY_FORGET, sizeof(int64_t))};
    for (int i = 0; i < TOY_FORGET; i++)
        w->forget.row[i] = 5 * i + i % 3;
    assert_ok(lt_index_set_complement(TOY_TRAIN, &w->forget, &w->retain));
    w->class_forget = (lt_index_set){.n = TOY_PER_CLASS, .row = lti_calloc(TOY_PER_CLASS, sizeof(int64_t))};
    for (int i = 0; i < TOY_PER_CLASS; i++)
        w->class_forget.row[i] = TOY_K * i + TOY_CLASS;
    assert_ok(lt_index_set_complement(TOY_TRAIN, &w->class_forget, &w->class_retain));
    lt_options_defaults(lt_train_options, &w->recipe);
    w->recipe.epochs = 15;
    w->recipe.batch = 32;
    w->recipe.lr = 0.05f;
    w->recipe.augment = false;
    w->recipe.eval_every = 0;
    lt_job job = {.model = w->model, .cfg = w->recipe, .seed = 1, .n_phases = 1};
    job.phase[0] = (lt_phase){.view = {lt_view_split(w->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    assert_ok(lt_train_run(&job, &w->env, NULL, false, NULL));
}

static inline void toy_clear(toy_world *w)
{
    lt_model_destroy(w->model);
    lt_dataset_close(w->ds);
    lt_index_set_clear(&w->forget);
    lt_index_set_clear(&w->retain);
    lt_index_set_clear(&w->class_forget);
    lt_index_set_clear(&w->class_retain);
    lt_backend_destroy(w->backend);
    lt_events_destroy(w->events);
}

// One world for the whole program: cmocka_run_group_tests(tests, set_up, tear_down).
static toy_world world;

static inline int set_up(void **state)
{
    (void)state;
    toy_init(&world);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    toy_clear(&world);
    return 0;
}

static inline lt_model *toy_trained(const toy_world *w)
{
    lt_model *copy;
    assert_ok(lt_model_dup(w->model, &copy));
    return copy;
}

// The trained toy with logits times a factor: large ones saturate the softmax, 0 leaves no gradient.
static inline lt_model *toy_scaled_head(float factor)
{
    static const char *const name[] = {"linear.weight", "linear.bias"};
    lt_model *m = toy_trained(&world);
    for (int v = 0; v < 2; v++) {
        lt_value_info info;
        int64_t n = 1;
        assert_ok(lt_graph_value(m->graph, lt_graph_find(m->graph, name[v]), &info));
        for (int k = 0; k < info.shape.n_dims; k++)
            n *= info.shape.dim[k];
        for (int64_t i = 0; i < n; i++)
            m->params[info.slab_offset + i] *= factor;
    }
    return m;
}

// Calls that must survive the n-th allocation failing: all small n, then every 1/16 further.
static inline int64_t toy_next_failure(int64_t n)
{
    return n + 1 + n / 16;
}

// A new empty directory; removed with toy_remove_dir.
static inline char *toy_temp_dir(void)
{
    char *dir = lti_asprintf("%s/lethe-test-XXXXXX", lt_test_root());
    assert_non_null(dir);
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void toy_remove_dir(char *dir)
{
    char *command = lti_asprintf("rm -rf '%s'", dir);
    assert_non_null(command);
    assert_int_equal(system(command), 0);
    lti_free(command);
    lti_free(dir);
}
#endif
