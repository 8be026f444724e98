// attack_search.c - times the search for adversarial examples ("amun-search") on a model file and a list of samples.
//
// usage: attack_search MODEL.safetensors DATA SAMPLES [threads] [batch] [OUT] [BACKEND]
//   attack_search model.safetensors cifar10 file:ids.csv 2 128 out
//   attack_search model.safetensors cifar10 random:10000 1 512 - cuda:0,precision=tf32
// Prints one JSON object; with OUT, adv.csv and adv.safetensors go there, one row for each sample ("-": nothing is
// written). The parameters are the defaults of the attack. The time is the library's own: everything but opening the
// files, so plans are compiled in it, but implementations are timed only when the tuning file does not know them yet.
// With BACKEND, a device say, a batch is searched in two steps first, not counted: libraries are loaded then.
#include "lethe/lethe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(lt_status status)
{
    if (status == LT_OK)
        return;
    const lt_error *e = lt_error_get();
    fprintf(stderr, "attack_search: %s\n", e->message);
    if (*e->hint)
        fprintf(stderr, "hint: %s\n", e->hint);
    exit(1);
}

// Samples by the radius in which they were found, and the mean of what else the two searches can be compared by.
static void print_outcome(const lt_adv_set *set, const lt_adv_search_cfg *cfg)
{
    double delta = 0, iters = 0;
    float eps = cfg->eps0;
    printf("\"eps_final\": {");
    for (int round = 0; round <= cfg->max_doublings; round++, eps *= 2.0f) {
        int64_t n = 0;
        for (int64_t i = 0; i < set->n; i++)
            n += set->status[i] == LT_ADV_OK && set->eps_final[i] > 0.75f * eps && set->eps_final[i] < 1.5f * eps;
        printf("%s\"%g\": %lld", round ? ", " : "", (double)eps, (long long)n);
    }
    for (int64_t i = 0; i < set->n; i++) {
        delta += (double)set->delta_norm[i];
        iters += set->iters[i];
    }
    printf("}, \"mean_delta\": %.6f, \"mean_steps\": %.3f", delta / (double)set->n, iters / (double)set->n);
}

static void print_json(const lt_model *model, const lt_backend *backend, const lt_adv_set *set,
                       const lt_adv_search_cfg *cfg)
{
    char digest[65];
    lt_model_digest(model, digest);
    printf("{\"backend\": \"%s\", \"threads\": %d, \"model_digest\": \"%s\", \"n\": %lld, \"batch\": %lld, "
           "\"search_s\": %.4f, \"samples_per_s\": %.3f, \"gradient_evaluations\": %lld, \"gradients_per_s\": %.1f, ",
           lt_backend_version(backend), lt_backend_n_threads(backend), digest, (long long)set->n, (long long)cfg->batch,
           set->search_s, (double)set->n / set->search_s, (long long)set->n_backward,
           (double)set->n_backward / set->search_s);
    printf("\"ok\": %lld, \"clean_wrong\": %lld, \"failed\": %lld, ", (long long)lt_adv_set_count(set, LT_ADV_OK),
           (long long)lt_adv_set_count(set, LT_ADV_CLEAN_WRONG), (long long)lt_adv_set_count(set, LT_ADV_FAILED));
    print_outcome(set, cfg);
    printf("}\n");
}

// A search of the first batch that ends soon, so that what a process does once is done.
static void warm_up(const lt_model *model, lt_view view, lt_adv_search_cfg cfg, const lt_env *env)
{
    lt_adv_set *set = NULL;
    view.n = view.n < cfg.batch ? view.n : cfg.batch;
    cfg.steps = 2;
    cfg.max_doublings = 0;
    must(lt_adv_search(model, &view, &cfg, env, NULL, &set));
    lt_adv_set_destroy(set);
}

int main(int argc, char **argv)
{
    lt_model *model = NULL;
    lt_dataset *ds = NULL;
    lt_index_set samples = {0};
    lt_adv_set *set = NULL;
    lt_env env = {0};
    lt_adv_search_cfg cfg;
    if (argc < 4) {
        fprintf(stderr, "usage: attack_search MODEL.safetensors DATA SAMPLES [threads] [batch] [OUT] [BACKEND]\n");
        return 2;
    }
    lt_options_defaults(lt_adv_search_options, &cfg);
    cfg.batch = argc > 5 ? atoi(argv[5]) : cfg.batch;
    if (cfg.batch < 1 || (argc > 4 && atoi(argv[4]) < 1)) {
        fprintf(stderr, "attack_search: threads and batch: expected numbers from 1, found '%s' and '%s'\n", argv[4],
                argc > 5 ? argv[5] : "");
        return 2;
    }
    must(lt_model_open(argv[1], NULL, NULL, &model));
    must(lt_dataset_open(argv[2], NULL, &ds));
    must(lt_forget_parse(ds, argv[3], 1, &samples));
    must(lt_backend_create(argc > 7 ? argv[7] : "auto", argc > 4 ? atoi(argv[4]) : 0, &env.backend));
    const lt_view view = lt_view_rows(ds, LT_TRAIN, &samples);
    if (argc > 7)
        warm_up(model, view, cfg, &env);
    must(lt_adv_search(model, &view, &cfg, &env, NULL, &set));
    print_json(model, env.backend, set, &cfg);
    if (argc > 6 && strcmp(argv[6], "-") != 0)
        must(lt_adv_set_save(set, argv[6]));
    lt_adv_set_destroy(set);
    lt_backend_destroy(env.backend);
    lt_index_set_clear(&samples);
    lt_dataset_close(ds);
    lt_model_destroy(model);
    return 0;
}
