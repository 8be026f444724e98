// train_test.h - a tiny learnable problem for the tests of train: 8x8 images whose brightest quarter gives the class.
#ifndef LT_TRAIN_TEST_H
#define LT_TRAIN_TEST_H
#include "lt_test.h"

#include "base/base.h"
#include "lethe/train.h"

enum { T_C = 3, T_SIDE = 8, T_CLASSES = 4, T_TRAIN = 22, T_TEST = 13 };

typedef struct fixture {
    lt_dataset *ds;
    lt_backend *backend;
    lt_model *model;
    lt_env env;
    lt_job job; // one shuffled phase over the training split, sgd, 3 epochs, batch 8
} fixture;

static inline void t_fill(lt_split split, int64_t n, uint8_t *x, int32_t *y)
{
    for (int64_t i = 0; i < n; i++) {
        lt_rng rng = lt_rng_at(7, LT_STREAM_TEST, (uint32_t)split, (uint64_t)i);
        y[i] = (int32_t)(i % T_CLASSES);
        for (int p = 0; p < T_C * T_SIDE * T_SIDE; p++) {
            const int row = p / T_SIDE % T_SIDE, col = p % T_SIDE;
            const int quarter = 2 * (row >= T_SIDE / 2) + (col >= T_SIDE / 2);
            x[i * T_C * T_SIDE * T_SIDE + p] = (uint8_t)(lt_rng_below(&rng, 150) + (quarter == y[i] ? 100u : 0u));
        }
    }
}

static inline lt_dataset *t_dataset(void)
{
    static uint8_t train_x[T_TRAIN * T_C * T_SIDE * T_SIDE], test_x[T_TEST * T_C * T_SIDE * T_SIDE];
    static int32_t train_y[T_TRAIN], test_y[T_TEST];
    t_fill(LT_TRAIN, T_TRAIN, train_x, train_y);
    t_fill(LT_TEST, T_TEST, test_x, test_y);
    lt_dataset *ds = NULL;
    assert_ok(
        lt_dataset_from_arrays(T_C, T_SIDE, T_SIDE, T_CLASSES, T_TRAIN, train_x, train_y, T_TEST, test_x, test_y, &ds));
    return ds;
}

static inline void t_open(fixture *f, const char *backend, int n_threads)
{
    *f = (fixture){.ds = t_dataset()};
    assert_ok(lt_backend_create(backend, n_threads, &f->backend));
    const lt_model_shape shape = {T_C, T_SIDE, T_SIDE, T_CLASSES};
    assert_ok(lt_model_create("simple-conv:width=4", shape, &f->model));
    lt_model_init(f->model, 5);
    f->env = (lt_env){.backend = f->backend};
    f->job = (lt_job){.model = f->model, .n_phases = 1, .seed = 11};
    lt_options_defaults(lt_train_options, &f->job.cfg);
    f->job.cfg.epochs = 3;
    f->job.cfg.batch = 8;
    f->job.phase[0] = (lt_phase){.view = {lt_view_split(f->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
}

static inline void t_close(fixture *f)
{
    lt_model_destroy(f->model);
    lt_backend_destroy(f->backend);
    lt_dataset_close(f->ds);
}
#endif
