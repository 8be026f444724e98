// state.c - the checkpoint of a running job: everything the next step depends on, in one safetensors file.
//
// Besides the model and the optimizer it holds the model at the start of the epoch: on_epoch must see it when a job is
// resumed inside an epoch, and a divergence goes back to it. Batches need no state: they are functions of (seed, epoch,
// phase, batch). The file carries digests of the job, so that it cannot continue another one, and of its own content.
#include "train_impl.h"

#include <string.h>

enum { N_PARTS = 4, MAX_TENSORS = 10 + 2 * (LT_JOB_MAX_PENALTIES + 1) };
static const char *const part_name[N_PARTS] = {"model", "recipe", "data", "mask"};
static const char format_version[] = "4";

static void hash_str(lti_hash *h, const char *s)
{
    lti_hash_add(h, s ? s : "", s ? strlen(s) + 1 : 1);
}

#define HASH(h, field) lti_hash_add((h), &(field), sizeof(field))

static void hash_own(lti_hash *h, const lt_own_params *own)
{
    HASH(h, own->n), HASH(h, own->lr), HASH(h, own->momentum), HASH(h, own->weight_decay);
}

// Nothing for a job without any, so that states written before there were hooks stay theirs.
static void hash_hooks(lti_hash *h, const lt_job *job)
{
    for (int i = 0; i < job->n_penalties; i++) {
        hash_str(h, job->penalty[i].name);
        hash_str(h, job->penalty[i].identity);
        hash_own(h, &job->penalty[i].own);
    }
    if (job->transform) {
        hash_str(h, job->transform->name);
        hash_str(h, job->transform->identity);
        hash_own(h, &job->transform->own);
    }
    if (job->objective) {
        hash_str(h, job->objective->name);
        hash_str(h, job->objective->identity);
    }
    for (int i = 0; i < job->n_groups; i++) {
        const lt_param_group *g = &job->group[i];
        HASH(h, g->from), HASH(h, g->n), HASH(h, g->lr_scale), HASH(h, g->decay_scale);
    }
}

// Options that say how to run and not what: the weights are the same with other values.
static bool changes_nothing(const lt_option *row)
{
    return row->offset == offsetof(lt_train_cfg, eval_every) ||
           row->offset == offsetof(lt_train_cfg, checkpoint_every_s);
}

static void hash_recipe(lti_hash *h, const lt_job *job)
{
    char number[LT_OPTION_TEXT_MAX];
    for (const lt_option *row = lt_train_options; row->name; row++) {
        if (changes_nothing(row))
            continue;
        hash_str(h, row->name);
        hash_str(h, lt_option_text(row, &job->cfg, number));
    }
    HASH(h, job->seed), HASH(h, job->l1), HASH(h, job->n_phases), HASH(h, job->bn_eval), HASH(h, job->temperature);
    HASH(h, job->l1_schedule), HASH(h, job->l1_off_last_epochs);
    hash_hooks(h, job);
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++) {
        char digest[65] = "none";
        if (job->teacher[i])
            lt_model_digest(job->teacher[i], digest);
        hash_str(h, digest);
    }
}

static void hash_view(lti_hash *h, const lt_view *v)
{
    hash_str(h, v->ds ? v->ds->digest : "none");
    HASH(h, v->split), HASH(h, v->n), HASH(h, v->augment), HASH(h, v->relabel), HASH(h, v->weight), HASH(h, v->tag);
    const bool has[3] = {v->row != NULL, v->labels != NULL, v->images != NULL};
    HASH(h, has);
    const size_t n = v->n > 0 ? (size_t)v->n : 0;
    if (v->row)
        lti_hash_add(h, v->row, n * sizeof *v->row);
    if (v->labels)
        lti_hash_add(h, v->labels, n * sizeof *v->labels);
    if (v->images && v->ds) {
        const size_t per = (size_t)v->ds->c * (size_t)v->ds->h * (size_t)v->ds->w;
        lti_hash_add(h, v->images, n * per * sizeof *v->images);
    }
}

void lti_job_digests(const lt_job *job, char digest[4][65])
{
    lti_hash h[N_PARTS];
    for (int i = 0; i < N_PARTS; i++)
        lti_hash_init(&h[i]);
    const lt_model *m = job->model;
    hash_str(&h[0], m->spec);
    HASH(&h[0], m->shape.c), HASH(&h[0], m->shape.h), HASH(&h[0], m->shape.w), HASH(&h[0], m->shape.n_classes);
    HASH(&h[0], m->n_params), HASH(&h[0], m->n_state);
    hash_recipe(&h[1], job);
    for (int p = 0; p < job->n_phases; p++) {
        const lt_phase *phase = &job->phase[p];
        HASH(&h[2], phase->shuffle), HASH(&h[2], phase->n_views), HASH(&h[2], phase->companion),
            HASH(&h[2], phase->batch);
        for (int v = 0; v < phase->n_views; v++) {
            hash_view(&h[2], &phase->view[v]);
            HASH(&h[2], phase->distill[v].teacher), HASH(&h[2], phase->distill[v].weight);
        }
    }
    if (job->mask)
        lti_hash_add(&h[3], job->mask, (size_t)m->n_params);
    for (int i = 0; i < N_PARTS; i++)
        lti_hash_hex(&h[i], digest[i]);
}

static int list_own(const lti_state *s, lt_tensor t[MAX_TENSORS])
{
    static const char *const name[LT_JOB_MAX_PENALTIES + 1][2] = {{"penalty.0", "penalty.0.m"},
                                                                  {"penalty.1", "penalty.1.m"},
                                                                  {"penalty.2", "penalty.2.m"},
                                                                  {"penalty.3", "penalty.3.m"},
                                                                  {"transform", "transform.m"}};
    int count = 0;
    for (int i = 0; i < s->n_own; i++)
        for (int j = 0; s->own[i].m && j < 2; j++)
            t[count++] = (lt_tensor){.name = name[i][j],
                                     .dtype = LT_F32,
                                     .n_dims = 1,
                                     .dim = {s->own[i].params.n},
                                     .data = j ? s->own[i].m : s->own[i].params.value,
                                     .n_bytes = (size_t)s->own[i].params.n * sizeof(float)};
    return count;
}

// The tensors of the file, pointing into the state: the one list for writing, reading and the content digest.
static int list_tensors(const lti_state *s, lt_tensor t[MAX_TENSORS])
{
    const int64_t n = s->model->n_params, n_state = s->model->n_state;
    const struct {
        const char *name;
        lt_dtype dtype;
        int64_t n;
        void *data;
    } row[] = {
        {"counts", LT_I64, sizeof(lti_step_counters) / sizeof(int64_t), s->counts},
        {"sums", LT_F64, sizeof(lti_loss_totals) / sizeof(double), s->sums},
        {"params", LT_F32, n, s->model->params},
        {"state", LT_F32, n_state, s->model->state},
        {"optimizer.m", LT_F32, n, s->optim->m},
        {"optimizer.v", LT_F32, s->optim->v ? n : 0, s->optim->v},
        {"epoch_start.params", LT_F32, n, s->start_params},
        {"epoch_start.state", LT_F32, n_state, s->start_state},
        {"memory", LT_U8, (int64_t)s->memory_bytes, s->memory},
    };
    int count = list_own(s, t);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (row[i].n > 0) {
            const size_t size = row[i].dtype == LT_U8 ? 1 : row[i].dtype == LT_F32 ? 4 : 8;
            t[count++] = (lt_tensor){.name = row[i].name,
                                     .dtype = row[i].dtype,
                                     .n_dims = 1,
                                     .dim = {row[i].n},
                                     .data = row[i].data,
                                     .n_bytes = (size_t)row[i].n * size};
        }
    }
    return count;
}

static void content_digest(const lt_tensor *t, int n, char out[65])
{
    lti_hash h;
    lti_hash_init(&h);
    for (int i = 0; i < n; i++) {
        hash_str(&h, t[i].name);
        lti_hash_add(&h, t[i].data, t[i].n_bytes);
    }
    lti_hash_hex(&h, out);
}

lt_status lti_state_save(const lti_state *s, const char *path)
{
    lt_tensor tensor[MAX_TENSORS];
    const int n = list_tensors(s, tensor);
    char content[65];
    content_digest(tensor, n, content);
    lt_meta meta[3 + N_PARTS] = {{"lethe.state", format_version}, {"content", content}, {"backend", s->backend}};
    for (int i = 0; i < N_PARTS; i++)
        meta[3 + i] = (lt_meta){part_name[i], s->digest[i]};
    return lt_safetensors_write(path, tensor, n, meta, 3 + N_PARTS);
}

static lt_status check_meta(const lti_state *s, const lt_tensor_file *file, const char *path, lt_events *events)
{
    const char *version = lt_tensor_file_meta(file, "lethe.state");
    if (!version || strcmp(version, format_version) != 0) {
        return LT_FAIL(LT_E_FORMAT, "%s: expected a training state of version %s, found %s", path, format_version,
                       version ? version : "none");
    }
    for (int i = 0; i < N_PARTS; i++) {
        const char *found = lt_tensor_file_meta(file, part_name[i]);
        if (!found || strcmp(found, s->digest[i]) != 0) {
            LT_FAIL(LT_E_USAGE, "%s: the state of another job: its %s differs (expected %.12s, found %.12s)", path,
                    part_name[i], s->digest[i], found ? found : "none");
            return lt_error_hint("resume with the options the job was started with, or start over without resuming");
        }
    }
    const char *backend = lt_tensor_file_meta(file, "backend");
    if (!backend || strcmp(backend, s->backend) != 0) {
        lt_warn(events, "train.backend", "%s was written with %s, now %s: weights will not be bit-identical", path,
                backend ? backend : "an unknown backend", s->backend);
    }
    return LT_OK;
}

static lt_status check_tensors(const lt_tensor_file *file, const lt_tensor *want, int n, const char *path)
{
    lt_tensor found[MAX_TENSORS];
    for (int i = 0; i < n; i++) {
        const lt_tensor *t = lt_tensor_file_find(file, want[i].name);
        if (!t)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s is missing", path, want[i].name);
        if (t->dtype != want[i].dtype || t->n_dims != 1 || t->dim[0] != want[i].dim[0] ||
            t->n_bytes != want[i].n_bytes) {
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected one dimension of %lld, found another type or shape",
                           path, want[i].name, (long long)want[i].dim[0]);
        }
        found[i] = *t;
        found[i].name = want[i].name;
    }
    char content[65];
    content_digest(found, n, content);
    const char *expected = lt_tensor_file_meta(file, "content");
    if (!expected || strcmp(expected, content) != 0) {
        return LT_FAIL(LT_E_INTEGRITY, "%s: damaged: expected content digest %.12s, found %.12s", path,
                       expected ? expected : "none", content);
    }
    return LT_OK;
}

lt_status lti_state_load(const lti_state *s, const char *path, lt_events *events)
{
    lt_tensor want[MAX_TENSORS];
    const int n = list_tensors(s, want);
    lt_tensor_file *file = NULL;
    LT_TRY(lt_tensor_file_open(path, &file));
    lt_status status = LT_OK;
    LT_TRY_GOTO(check_meta(s, file, path, events), done);
    LT_TRY_GOTO(check_tensors(file, want, n, path), done);
    for (int i = 0; i < n; i++)
        memcpy(want[i].data, lt_tensor_file_find(file, want[i].name)->data, want[i].n_bytes);
done:
    lt_tensor_file_close(file);
    return status;
}
