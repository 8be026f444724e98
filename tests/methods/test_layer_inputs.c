// The patches that a convolution's kernel sees, times its weight, are its output. Dilated, strided, at the edges.
#include "unlearn_test.h"
#include "graph/graph_impl.h"
#include "model/model_impl.h"
#include "unlearn/layer_inputs.h"

typedef struct products { // weight times every patch, in order
    const lti_layer *layer;
    const lt_model *model;
    float *y; // (N, places, K)
    int64_t n;
} products;

static void multiply(void *ctx, const lti_layer_vector *v)
{
    products *p = ctx;
    const lti_layer *l = p->layer;
    for (int64_t k = 0; k < l->n_out; k++) {
        double sum = 0;
        for (int64_t i = 0; i < l->n_in; i++)
            sum += (double)p->model->params[l->offset + k * l->n_in + i] * (double)v->x[i];
        p->y[p->n++] = (float)sum;
    }
}

// Output of the convolution without its bias, (N,K,H',W'); its shape.
static float *convolve(const lt_model *m, const lt_dataset *ds, int n, lt_shape *shape)
{
    const lt_graph *g = m->graph;
    lt_val y = LT_NONE;
    for (int32_t i = 0; i < g->n_nodes && y == LT_NONE; i++)
        y = g->node[i].op == &lt_op_conv2d ? g->node[i].out[0] : LT_NONE;
    const lt_plan_spec spec = {.outs = &y,
                               .n_outs = 1,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = n,
                               .dtype = LT_F32,
                               .flags = LT_PLAN_NO_TUNE};
    lt_plan *plan;
    assert_ok(lt_plan_create(g, &spec, world.backend, &plan));
    assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
    float *x = lt_plan_buffer(plan, m->x);
    const int64_t pixels = (int64_t)n * ds->c * ds->h * ds->w;
    for (int64_t i = 0; i < pixels; i++)
        x[i] = (float)ds->split[LT_TRAIN].x[i] / 255.0f;
    assert_ok(lt_plan_run(plan));
    *shape = g->value[y].shape;
    const int64_t count = n * shape->dim[1] * shape->dim[2] * shape->dim[3];
    float *out = calloc((size_t)count, sizeof *out);
    memcpy(out, lt_plan_buffer(plan, y), (size_t)count * sizeof *out);
    lt_plan_destroy(plan);
    return out;
}

static void patches_make_the_output(void **state)
{
    (void)state;
    enum { N = 3, MANY = 1 << 20 };
    static const char *const specs[] = {"single-conv:width=3,padding-mode=zeros",
                                        "single-conv:width=3,padding=2,dilation=2,padding-mode=zeros",
                                        "single-conv:width=3,padding=3,stride=2,dilation=3,padding-mode=zeros"};
    lt_dataset *ds;
    int64_t rows[N] = {0, 1, 2};
    const lt_index_set set = {.row = rows, .n = N};
    assert_ok(lt_dataset_open("synthetic,train-limit=20", NULL, &ds));
    for (size_t c = 0; c < sizeof specs / sizeof *specs; c++) {
        lt_model *m;
        lti_layer layer[2];
        lt_shape s;
        assert_ok(lt_model_create(specs[c], (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m));
        lt_model_init(m, 1);
        assert_int_equal(lti_model_layers(m, layer, 2), 2);
        float *y = convolve(m, ds, N, &s);
        const int64_t places = s.dim[2] * s.dim[3], k = s.dim[1];
        products p = {.layer = &layer[0], .model = m, .y = calloc((size_t)(N * places * k), sizeof(float))};
        lt_unlearn_in in = {.model = m, .ds = ds, .seed = 1, .env = &world.env};
        lt_unlearn_plan_ctx ctx = {0};
        assert_ok(lti_layer_inputs_run(
            &in,
            &(lti_layer_inputs){
                .model = m, .layer = &layer[0], .rows = &set, .patches = MANY, .each = multiply, .ctx = &p},
            &ctx));
        assert_int_equal(p.n, N * places * k);
        for (int64_t i = 0; i < p.n; i++) {
            const int64_t n = i / (places * k), at = i / k % places, channel = i % k;
            assert_true(fabsf(p.y[i] - y[(n * k + channel) * places + at]) < 1e-5f);
        }
        free(p.y);
        free(y);
        lt_model_destroy(m);
    }
    lt_dataset_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patches_make_the_output)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
