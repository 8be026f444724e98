// One request of several: one search and one mask serve them all, unless each is to search again. [AMUN 6, 8.1]
#include "unlearn_test.h"

static lt_index_set part[2];     // the forget set in two requests
static lt_model *first, *second; // before the first request, before the second

static int begin(void **state)
{
    set_up(state);
    for (int k = 0; k < 2; k++)
        part[k] = (lt_index_set){.n = TOY_FORGET / 2, .row = world.forget.row + k * TOY_FORGET / 2};
    first = toy_trained(&world);
    second = toy_trained(&world);
    for (int64_t i = 0; i < second->n_params; i++)
        second->params[i] *= 0.8f;
    return 0;
}

static int end(void **state)
{
    lt_model_destroy(first);
    lt_model_destroy(second);
    return tear_down(state);
}

static lt_unlearn_in request(int k, lt_model *model, const lt_unlearn_stream *stream)
{
    lt_unlearn_in in = input(model);
    in.forget = &part[k];
    in.stream = stream;
    return in;
}

static void plan(int k, const char *values, lt_model *model, const lt_unlearn_stream *stream, planned *p)
{
    *p = (planned){.cfg = config(find("amun"), values), .model = model};
    lt_unlearn_in in = request(k, model, stream);
    p->job = (lt_job){.model = model, .seed = in.seed};
    assert_ok(find("amun")->plan(&in, p->cfg, &p->ctx, &p->job));
}

static void done(planned *p)
{
    if (p->ctx.own)
        p->ctx.own_free(p->ctx.own);
    lt_adv_set_destroy(p->ctx.adv);
    lti_free(p->ctx.mask);
    lti_free(p->cfg);
}

static void one_search_serves_all(void **state)
{
    (void)state;
    const lt_unlearn_stream stream = {first, &world.forget};
    planned p;
    lt_adv_set *all;
    lt_adv_search_cfg cfg;
    lt_options_defaults(lt_adv_search_options, &cfg);
    cfg.eps0 = 0.1f; // as in config()
    cfg.batch = 16;
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    assert_ok(lt_adv_search(first, &view, &cfg, &world.env, NULL, &all));
    plan(1, "", second, &stream, &p);
    assert_int_equal(p.ctx.adv->n, TOY_FORGET / 2);
    for (int64_t i = 0; i < p.ctx.adv->n; i++) {
        const int64_t at = i + TOY_FORGET / 2;
        assert_int_equal(p.ctx.adv->id[i], part[1].row[i]);
        assert_int_equal(p.ctx.adv->adv_pred[i], all->adv_pred[at]);
        assert_memory_equal(p.ctx.adv->x_adv + i * TOY_DIM, all->x_adv + at * TOY_DIM, TOY_DIM * sizeof(float));
    }
    done(&p);
    lt_adv_set_destroy(all);
}

static int count_files(const char *dir)
{
    char *command = lti_asprintf("find '%s' -name '*.safetensors' | wc -l", dir);
    FILE *f = popen(command, "r");
    int n = -1;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    lti_free(command);
    return n;
}

// The second request finds the search of the first: it was for both.
static void the_search_for_all_is_made_once(void **state)
{
    (void)state;
    const lt_unlearn_stream stream = {first, &world.forget};
    char *dir = toy_temp_dir();
    for (int adaptive = 0; adaptive < 2; adaptive++)
        for (int k = 0; k < 2; k++) {
            planned p = {.cfg = config(find("amun"), adaptive ? "adaptive=1" : ""), .model = k ? second : first};
            lt_unlearn_in in = request(k, p.model, &stream);
            in.cache_dir = dir;
            p.job = (lt_job){.model = p.model, .seed = in.seed};
            assert_ok(find("amun")->plan(&in, p.cfg, &p.ctx, &p.job));
            assert_int_equal(count_files(dir), adaptive ? 2 + k : 1);
            done(&p);
        }
    toy_remove_dir(dir);
}

static void an_adaptive_request_searches_on_its_own_model(void **state)
{
    (void)state;
    const lt_unlearn_stream stream = {first, &world.forget};
    planned adaptive, alone, fixed;
    plan(1, "adaptive=1", second, &stream, &adaptive);
    plan(1, "", second, NULL, &alone);
    plan(1, "", second, &stream, &fixed);
    const size_t bytes = (size_t)(TOY_FORGET / 2 * TOY_DIM) * sizeof(float);
    assert_memory_equal(adaptive.ctx.adv->x_adv, alone.ctx.adv->x_adv, bytes);
    assert_memory_not_equal(adaptive.ctx.adv->x_adv, fixed.ctx.adv->x_adv, bytes);
    done(&adaptive);
    done(&alone);
    done(&fixed);
}

static void one_mask_serves_all(void **state)
{
    (void)state;
    const lt_unlearn_stream stream = {first, &world.forget};
    planned whole, p[2], alone;
    plan(0, "mask=salun,mask_ratio=0.3", first, &stream, &p[0]);
    plan(1, "mask=salun,mask_ratio=0.3", second, &stream, &p[1]);
    plan(1, "mask=salun,mask_ratio=0.3", second, NULL, &alone);
    lt_unlearn_in in = input(first); // all of the forget set at once
    whole = (planned){.cfg = config(find("amun"), "mask=salun,mask_ratio=0.3"), .model = first};
    whole.job = (lt_job){.model = first};
    assert_ok(find("amun")->plan(&in, whole.cfg, &whole.ctx, &whole.job));
    const size_t n = (size_t)first->n_params;
    assert_memory_equal(p[0].ctx.mask, p[1].ctx.mask, n);
    assert_memory_equal(p[0].ctx.mask, whole.ctx.mask, n);
    assert_memory_not_equal(p[1].ctx.mask, alone.ctx.mask, n);
    done(&p[0]);
    done(&p[1]);
    done(&alone);
    done(&whole);
}

static void a_stream_must_fit(void **state)
{
    (void)state;
    lt_model *other;
    assert_ok(lt_model_create("simple-conv:width=2", (lt_model_shape){TOY_C, TOY_H, TOY_H, TOY_K}, &other));
    lt_unlearn_stream stream = {other, &world.forget};
    lt_unlearn_in in = request(0, second, &stream);
    assert_fails(LT_E_SHAPE, "stream of requests", lt_unlearn_check(find("ft"), &in));
    stream = (lt_unlearn_stream){first, &part[1]};
    assert_fails(LT_E_USAGE, "not among those of all", lt_unlearn_check(find("ft"), &in));
    stream.all = &world.forget;
    assert_ok(lt_unlearn_check(find("ft"), &in));
    lt_model_destroy(other);
}

static void rows_of_an_adversarial_set(void **state)
{
    (void)state;
    lt_adv_set *all, *some;
    lt_adv_search_cfg cfg;
    lt_options_defaults(lt_adv_search_options, &cfg);
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &part[0]);
    assert_ok(lt_adv_search(first, &view, &cfg, &world.env, NULL, &all));
    const int64_t id[] = {all->id[5], all->id[0], all->id[11]}, missing[] = {all->id[2], 119};
    assert_ok(lt_adv_set_select(all, id, 3, &some));
    static const int at[] = {5, 0, 11};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(some->id[i], id[i]);
        assert_int_equal(some->label[i], all->label[at[i]]);
        assert_int_equal(some->iters[i], all->iters[at[i]]);
        assert_int_equal(some->status[i], all->status[at[i]]);
        assert_true(some->delta_norm[i] >= all->delta_norm[at[i]] && some->delta_norm[i] <= all->delta_norm[at[i]]);
        assert_memory_equal(some->x_adv + i * TOY_DIM, all->x_adv + at[i] * TOY_DIM, TOY_DIM * sizeof(float));
    }
    lt_adv_set_destroy(some);
    assert_fails(LT_E_USAGE, "sample 119", lt_adv_set_select(all, missing, 2, &some));
    lt_adv_set_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_search_serves_all),
        cmocka_unit_test(an_adaptive_request_searches_on_its_own_model),
        cmocka_unit_test(the_search_for_all_is_made_once),
        cmocka_unit_test(one_mask_serves_all),
        cmocka_unit_test(a_stream_must_fit),
        cmocka_unit_test(rows_of_an_adversarial_set),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
