// adv_cache.c - runs an attack once per question: the answer is stored under a digest of everything it depends on.
//
// cache_dir/DIGEST/ holds a finished set; it is written into a temporary directory and renamed, so a reader sees all of
// it or nothing, and two processes may search for the same thing. cache_dir/DIGEST.part.safetensors is an unfinished
// search.
#include "lethe/run.h"
#include "attack/attack_impl.h"
#include "attack/engine.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void add_text(lti_hash *h, const char *text)
{
    lti_hash_add(h, text, strlen(text) + 1); // with its NUL: "ab","c" is not "a","bc"
}

// Every option as name and exact value.
static void add_options(lti_hash *h, const lt_option *row, const void *cfg)
{
    for (; row->name; row++) {
        const void *at = (const char *)cfg + row->offset;
        char value[LTI_NUMBER_MAX] = "";
        const char *text = value;
        switch (row->type) {
        case LT_OPT_BOOL:
            text = *(const bool *)at ? "true" : "false";
            break;
        case LT_OPT_I32:
        case LT_OPT_ENUM:
            snprintf(value, sizeof value, "%" PRId32, *(const int32_t *)at);
            break;
        case LT_OPT_I64:
            snprintf(value, sizeof value, "%" PRId64, *(const int64_t *)at);
            break;
        case LT_OPT_U64:
            snprintf(value, sizeof value, "%" PRIu64, *(const uint64_t *)at);
            break;
        case LT_OPT_F32:
            lti_number_text((double)*(const float *)at, true, value);
            break;
        case LT_OPT_F64:
            lti_number_text(*(const double *)at, false, value);
            break;
        case LT_OPT_STR:
            text = *(const char *const *)at ? *(const char *const *)at : "";
            break;
        }
        add_text(h, row->name);
        add_text(h, text);
    }
}

static void question_digest(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                            const lt_env *env, char out[65])
{
    lti_hash h;
    char digest[65];
    const lt_split_data *data = &view->ds->split[view->split];
    int64_t d = (int64_t)view->ds->c * view->ds->h * view->ds->w;
    lti_hash_init(&h);
    add_text(&h, "lethe attack 1");
    add_text(&h, attack->name);
    add_options(&h, attack->opts, cfg);
    lt_model_digest(model, digest);
    add_text(&h, digest);
    add_text(&h, model->spec);
    add_text(&h, view->ds->digest);
    add_text(&h, lt_backend_name(env->backend)); // kernels differ in rounding: a sample on the boundary may differ too
    add_text(&h, lt_backend_version(env->backend));
    for (int64_t i = 0; i < view->n; i++) {
        int64_t row[3] = {(int64_t)view->split, data->id[lti_view_row(view, i)], lti_view_label(view, i)};
        lti_hash_add(&h, row, sizeof row);
    }
    if (view->images)
        lti_hash_add(&h, view->images, (size_t)(view->n * d) * sizeof *view->images);
    lti_hash_hex(&h, out);
}

static bool is_answer(const lt_adv_set *set, const lt_view *view, const char *digest)
{
    bool same = set->n == view->n && set->c == view->ds->c && set->h == view->ds->h && set->w == view->ds->w &&
                strcmp(set->digest, digest) == 0;
    for (int64_t i = 0; same && i < set->n;
         i++) // the stored label must be the data set's: sets shifted by a row are useless
        same = set->id[i] == view->ds->split[view->split].id[lti_view_row(view, i)] &&
               set->label[i] == lti_view_label(view, i);
    return same;
}

// The stored set, or NULL: none, or damaged (said in a warning).
static lt_adv_set *look_up(const char *dir, const lt_view *view, const char *digest, const lt_env *env)
{
    lt_adv_set *set = NULL;
    if (access(dir, F_OK) != 0)
        return NULL;
    lt_status status = lt_adv_set_open(dir, &set);
    if (status == LT_OK && is_answer(set, view, digest)) {
        lt_info(env->events, "attack.cache", "adversarial set of %lld samples read from %s", (long long)set->n, dir);
        return set;
    }
    lt_warn(env->events, "attack.cache", "ignoring %s: %s", dir,
            status == LT_OK ? "it belongs to other samples" : lt_error_get()->message);
    lt_error_clear();
    lt_adv_set_destroy(set);
    return NULL;
}

static void remove_set_dir(const char *dir)
{
    static const char *const file[] = {"adv.csv", "adv.safetensors"};
    for (int i = 0; i < 2; i++) {
        char *path = lti_asprintf("%s/%s", dir, file[i]);
        if (path)
            (void)unlink(path);
        lti_free(path);
    }
    (void)rmdir(dir);
}

// Atomic: complete in a temporary directory, then renamed. A directory already there is one that look_up refused, or
// one that another process has just finished: either way ours may replace it.
static lt_status store(const lt_adv_set *set, const char *dir)
{
    char *temporary = lti_asprintf("%s.tmp-%ld", dir, (long)getpid());
    if (!temporary)
        return LTI_NOMEM("path");
    lt_status status = lt_adv_set_save(set, temporary);
    if (status == LT_OK && rename(temporary, dir) != 0) {
        remove_set_dir(dir);
        if (rename(temporary, dir) != 0)
            status = lti_errno_fail("store", dir);
    }
    if (status != LT_OK)
        remove_set_dir(temporary);
    lti_free(temporary);
    return status;
}

static lt_status run_attack(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                            const lt_env *env, const char *part, lt_adv_set **set)
{
    return attack->run ? attack->run(model, view, cfg, env, part, set)
                       : lti_engine_adv_set(attack, model, view, cfg, env, set);
}

static lt_status run_cached(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                            const lt_env *env, const char *dir, const char *part, const char *digest, lt_adv_set **set)
{
    lt_adv_set *found = look_up(dir, view, digest, env);
    if (found) {
        *set = found;
        return LT_OK;
    }
    LT_TRY(run_attack(attack, model, view, cfg, env, part, &found));
    memcpy(found->digest, digest, sizeof found->digest);
    if (store(found, dir) == LT_OK) {
        (void)unlink(part);
    } else { // the set itself is fine and may have taken an hour
        lt_warn(env->events, "attack.cache", "the adversarial set was not cached: %s", lt_error_get()->message);
        lt_error_clear();
    }
    *set = found;
    return LT_OK;
}

static lt_status check_view(const lt_model *model, const lt_view *view)
{
    const lt_model_shape *m = &model->shape;
    const lt_dataset *ds = view->ds;
    if (view->n < 1)
        return LT_FAIL(LT_E_USAGE, "attack: expected at least one sample, found none");
    if (m->c != ds->c || m->h != ds->h || m->w != ds->w || m->n_classes != ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "attack: the model takes %dx%dx%d images of %d classes, the data has %dx%dx%d of %d",
                       m->c, m->h, m->w, m->n_classes, ds->c, ds->h, ds->w, ds->n_classes);
    for (int64_t i = 0; i < view->n; i++)
        if (lti_view_row(view, i) < 0 || lti_view_row(view, i) >= ds->split[view->split].n)
            return LT_FAIL(LT_E_FORMAT, "attack: expected rows 0..%lld, found %lld",
                           (long long)ds->split[view->split].n - 1, (long long)lti_view_row(view, i));
    return LT_OK;
}

lt_status lt_attack_run(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                        const lt_env *env, const char *cache_dir, lt_adv_set **set)
{
    LT_TRY(check_view(model, view));
    if (!cache_dir)
        return run_attack(attack, model, view, cfg, env, NULL, set);
    char digest[65];
    question_digest(attack, model, view, cfg, env, digest);
    LT_TRY(lt_make_dirs(cache_dir));
    char *dir = lti_asprintf("%s/%s", cache_dir, digest),
         *part = lti_asprintf("%s/%s.part.safetensors", cache_dir, digest);
    lt_status status =
        dir && part ? run_cached(attack, model, view, cfg, env, dir, part, digest, set) : LTI_NOMEM("path");
    lti_free(dir);
    lti_free(part);
    return status;
}

lt_status lt_adv_search(const lt_model *model, const lt_view *view, const lt_adv_search_cfg *cfg, const lt_env *env,
                        const char *cache_dir, lt_adv_set **set)
{
    return lt_attack_run(&lti_attack_adv_search, model, view, cfg, env, cache_dir, set);
}
