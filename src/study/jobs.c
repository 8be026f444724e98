// jobs.c - a study as jobs that need each other.
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

static const char *const kind_text[LT_STUDY_N_KINDS] = {
    [LT_STUDY_BASE] = "original model",
    [LT_STUDY_ORACLE] = "oracle",
    [LT_STUDY_REFERENCES] = "reference models",
    [LT_STUDY_OUTPUTS] = "reference outputs",
    [LT_STUDY_TRIAL] = "tuning run",
    [LT_STUDY_CHOICE] = "choice",
    [LT_STUDY_RUN] = "unlearning run",
    [LT_STUDY_AUDIT] = "audit",
};

const char *lt_study_kind_text(lt_study_kind kind)
{
    return kind_text[kind];
}

const char *lt_study_state_text(lt_study_state state)
{
    static const char *const text[LT_STUDY_N_STATES] = {
        [LT_STUDY_WAITING] = "missing", [LT_STUDY_RUNNING] = "running", [LT_STUDY_DONE] = "done",
        [LT_STUDY_UNFIT] = "unfit",     [LT_STUDY_FAILED] = "failed",   [LT_STUDY_BLOCKED] = "blocked",
        [LT_STUDY_STOPPED] = "stopped",
    };
    return text[state];
}

bool lti_study_has_ended(const lti_study_job *j)
{
    return j->state != LT_STUDY_WAITING && j->state != LT_STUDY_RUNNING;
}

int lti_study_find_job(const lt_study_runner *r, lt_study_kind kind, int base, int forget)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].kind == kind && r->job[i].base == base && r->job[i].forget == forget)
            return i;
    return -1;
}

// ---- adding jobs. The list is long enough from the start; when memory for needs runs out r->failed is set.

static size_t most_jobs(const lt_study_runner *r)
{
    const lt_study *y = r->study;
    const size_t n_pairs = (size_t)r->n_bases * (size_t)r->n_forget;
    size_t n = (size_t)r->n_bases + n_pairs * (size_t)(y->oracles.seeds.n + y->tuning.oracles.n) + 1 +
               (size_t)r->n_forget + n_pairs;
    for (int m = 0; m < y->n_methods; m++)
        n += LT_N_ACCESS * ((size_t)y->method[m].n_points + 1 + n_pairs * (size_t)y->repetitions.n);
    return n;
}

static lti_study_job *add_job(lt_study_runner *r, lt_study_kind kind, const char *id)
{
    lti_study_job *j = &r->job[r->n_jobs++];
    *j = (lti_study_job){.kind = kind,
                         .id = id,
                         .base = -1,
                         .forget = -1,
                         .method = -1,
                         .access = -1,
                         .point = -1,
                         .seconds = (double)NAN};
    return j;
}

static void add_need(lt_study_runner *r, lti_study_job *j, int job, bool soft)
{
    if (job < 0)
        LT_BUG("%s needs a job that is not listed", j->id);
    if ((j->n_needs & (j->n_needs - 1)) == 0) { // 0 or a power of two: the list is full
        lti_study_need *more = lti_study_list(r, j->n_needs ? 2 * (size_t)j->n_needs : 1, sizeof *more);
        if (!more)
            return;
        if (j->n_needs)
            memcpy(more, j->need, (size_t)j->n_needs * sizeof *more);
        j->need = more;
    }
    j->need[j->n_needs++] = (lti_study_need){job, soft};
}

static void add_needs(lt_study_runner *r, lti_study_job *j, lt_study_kind kind, int base, int forget, bool soft)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].kind == kind && (base < 0 || r->job[i].base == base) && r->job[i].forget == forget &&
            &r->job[i] != j)
            add_need(r, j, i, soft);
}

static void add_base_need(lt_study_runner *r, lti_study_job *j, int base)
{
    add_need(r, j, lti_study_find_job(r, LT_STUDY_BASE, base, -1), false);
}

static const char *forget_name(const lt_study_runner *r, int f)
{
    return r->forget[f].forget->name;
}

static bool has_search(const lt_study *study)
{
    for (int m = 0; m < study->n_methods; m++)
        if (study->method[m].n_points)
            return true;
    return false;
}

static lt_status list_bases_and_forget_sets(lt_study_runner *r)
{
    const lt_study *y = r->study;
    int found = -1;
    r->base = lti_study_list(r, (size_t)y->bases.n + 1, sizeof *r->base);
    r->forget = lti_study_list(r, (size_t)y->n_forget + 1, sizeof *r->forget);
    if (!r->base || !r->forget)
        return LTI_NOMEM("study");
    for (int b = 0; b < y->bases.n; b++) {
        r->base[r->n_bases++] = y->bases.seed[b];
        found = y->bases.seed[b] == y->tuning.base ? b : found;
    }
    for (int f = 0; f < y->n_forget; f++)
        r->forget[r->n_forget++].forget = &y->forget[f];
    if (!has_search(y))
        return LT_OK;
    if (found < 0)
        r->base[r->n_bases++] = y->tuning.base;
    r->forget[r->n_forget++] = (lti_study_forget_set){.forget = &y->tuning.forget, .tuning = true};
    return LT_OK;
}

static int tuning_base(const lt_study_runner *r)
{
    int b = 0;
    while (r->base[b] != r->study->tuning.base)
        b++;
    return b;
}

static int tuning_forget(const lt_study_runner *r)
{
    return r->n_forget - 1;
}

// ---- layers

static void add_bases(lt_study_runner *r)
{
    for (int b = 0; b < r->n_bases; b++) {
        lti_study_job *j = add_job(r, LT_STUDY_BASE, lti_study_text(r, "bases/b%llu", (unsigned long long)r->base[b]));
        j->base = b;
        j->seed = r->base[b];
    }
}

// Whether original model b forgets set f.
static bool is_pair(const lt_study_runner *r, int b, int f)
{
    const lt_study_seeds *only = &r->forget[f].forget->bases;
    bool found = only->n == 0;
    for (int i = 0; i < only->n; i++)
        found = found || only->seed[i] == r->base[b];
    return found;
}

static void add_oracle(lt_study_runner *r, int b, int f, uint64_t seed, bool shared)
{
    const char *id = shared ? lti_study_text(r, "oracles/%s-o%llu", forget_name(r, f), (unsigned long long)seed)
                            : lti_study_text(r, "oracles/b%llu-%s-o%llu", (unsigned long long)r->base[b],
                                             forget_name(r, f), (unsigned long long)seed);
    lti_study_job *j = add_job(r, LT_STUDY_ORACLE, id);
    j->base = shared ? -1 : b;
    j->forget = f;
    j->seed = shared ? seed : lt_study_oracle_seed(r->base[b], seed);
    add_base_need(r, j, b);
}

static void add_oracles(lt_study_runner *r)
{
    const lt_study *y = r->study;
    for (int f = 0; f < y->n_forget; f++)
        for (int b = 0; b < (y->oracles.shared ? 1 : y->bases.n); b++)
            for (int k = 0; k < y->oracles.seeds.n; k++)
                if (y->oracles.shared || is_pair(r, b, f))
                    add_oracle(r, b, f, y->oracles.seeds.seed[k], y->oracles.shared);
    if (has_search(y) && y->tuning.uses_oracle)
        for (int k = 0; k < y->tuning.oracles.n; k++)
            add_oracle(r, tuning_base(r), tuning_forget(r), y->tuning.oracles.seed[k], false);
}

// The attack of the tuning objective; NULL when it is none.
static const lt_mia *find_tuning_attack(const lt_study *y)
{
    const lt_mia *attack = NULL;
    if (y->tuning.uses_oracle && lt_mia_find(y->tuning.objective + strlen("gap-"), &attack) != LT_OK) {
        lt_error_clear();
        attack = NULL;
    }
    return attack;
}

static bool needs_outputs(const lt_study_runner *r, int f)
{
    if (!r->forget[f].tuning)
        return true;
    const lt_mia *attack = find_tuning_attack(r->study);
    return attack && (attack->needs & LT_MIA_NEED_REFERENCES);
}

// The samples and their order are those of the signals of any oracle or run of the forget set.
static void add_references(lt_study_runner *r)
{
    if (r->study->references.count == 0)
        return;
    add_job(r, LT_STUDY_REFERENCES, "references/models");
    const int models = r->n_jobs - 1;
    for (int f = 0; f < r->n_forget; f++) {
        if (!needs_outputs(r, f))
            continue;
        lti_study_job *j = add_job(r, LT_STUDY_OUTPUTS, lti_study_text(r, "references/%s", forget_name(r, f)));
        j->forget = f;
        add_need(r, j, models, false);
        for (int i = 0; i < r->n_jobs; i++) // the first oracle
            if (r->job[i].kind == LT_STUDY_ORACLE && r->job[i].forget == f) {
                add_need(r, j, i, false);
                break;
            }
    }
}

static bool searches_adversarial(const lt_study_runner *r, const lti_study_job *j)
{
    return (j->kind == LT_STUDY_TRIAL || j->kind == LT_STUDY_RUN) &&
           (r->study->method[j->method].method->needs & LT_NEED_ATTACK);
}

// Runs that search for the same adversarial set wait for the first of them, which leaves it in the cache.
static void add_search_need(lt_study_runner *r, lti_study_job *j)
{
    if (!searches_adversarial(r, j))
        return;
    for (int i = 0; i < r->n_jobs; i++) {
        const lti_study_job *other = &r->job[i];
        if (other != j && searches_adversarial(r, other) && other->base == j->base && other->forget == j->forget) {
            add_need(r, j, i, true);
            return;
        }
    }
}

// "lr=0.01_epochs=2" names a directory; a long one ends with a hash of all of it.
static const char *point_name(lt_study_runner *r, const lt_study_options *point)
{
    enum { MAX = 100, HASH = 20 };
    uint64_t h = 1469598103934665603u;
    char *text = lti_arena_strdup(&r->arena, "");
    for (int i = 0; text && i < point->n; i++) {
        const char *longer =
            lti_study_text(r, "%s%s%s=%s", text, i ? "_" : "", point->option[i].key, point->option[i].value);
        text = lti_arena_strdup(&r->arena, longer);
    }
    if (!text) {
        r->failed = true;
        return "";
    }
    for (char *c = text; *c; c++) {
        h = (h ^ (unsigned char)*c) * 1099511628211u;
        if (*c == '/' || *c == ',' || *c == ' ' || (unsigned char)*c < ' ')
            *c = '-';
    }
    return strlen(text) <= MAX ? text : lti_study_text(r, "%.*s-%016llx", MAX - HASH, text, (unsigned long long)h);
}

static void add_trials(lt_study_runner *r, int m, int a)
{
    const lt_study_method *method = &r->study->method[m];
    for (int k = 0; k < method->n_points; k++) {
        const char *name = point_name(r, lti_study_point(r, m, a, k));
        lti_study_job *j =
            add_job(r, LT_STUDY_TRIAL, lti_study_text(r, "tuning/%s/%s/%s", method->name, lt_access_text(a), name));
        j->base = tuning_base(r);
        j->forget = tuning_forget(r);
        j->method = m;
        j->access = a;
        j->point = k;
        j->seed = r->study->tuning.seed;
        add_base_need(r, j, j->base);
        add_search_need(r, j);
    }
}

static void add_choice(lt_study_runner *r, int m, int a)
{
    const lt_study_method *method = &r->study->method[m];
    if (!method->n_points)
        return;
    add_trials(r, m, a);
    lti_study_job *j =
        add_job(r, LT_STUDY_CHOICE, lti_study_text(r, "audits/tuning-%s-%s", method->name, lt_access_text(a)));
    j->base = tuning_base(r);
    j->forget = tuning_forget(r);
    j->method = m;
    j->access = a;
    add_base_need(r, j, j->base);
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].kind == LT_STUDY_TRIAL && r->job[i].method == m && r->job[i].access == a)
            add_need(r, j, i, true);
    add_needs(r, j, LT_STUDY_ORACLE, j->base, j->forget, true);
    add_needs(r, j, LT_STUDY_OUTPUTS, -1, j->forget, false);
}

static int find_choice(const lt_study_runner *r, int m, int a)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].kind == LT_STUDY_CHOICE && r->job[i].method == m && r->job[i].access == a)
            return i;
    return -1;
}

static void add_run(lt_study_runner *r, int b, int f, const lti_study_job *of)
{
    const lt_study_method *method = &r->study->method[of->method];
    lti_study_job *j =
        add_job(r, LT_STUDY_RUN,
                lti_study_text(r, "runs/%s/%s/b%llu-%s-r%llu", method->name, lt_access_text(of->access),
                               (unsigned long long)r->base[b], forget_name(r, f), (unsigned long long)of->seed));
    j->base = b;
    j->forget = f;
    j->method = of->method;
    j->access = of->access;
    j->seed = of->seed;
    add_base_need(r, j, b);
    if (method->n_points)
        add_need(r, j, find_choice(r, j->method, j->access), false);
    add_search_need(r, j);
}

static void add_runs(lt_study_runner *r, int b, int f)
{
    const lt_study *y = r->study;
    for (int m = 0; m < y->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++)
            for (int k = 0; y->method[m].access[a] && k < y->repetitions.n; k++)
                add_run(r, b, f, &(lti_study_job){.method = m, .access = a, .seed = y->repetitions.seed[k]});
}

static void add_audit(lt_study_runner *r, int b, int f)
{
    lti_study_job *j = add_job(r, LT_STUDY_AUDIT,
                               lti_study_text(r, "audits/b%llu-%s", (unsigned long long)r->base[b], forget_name(r, f)));
    j->base = b;
    j->forget = f;
    add_base_need(r, j, b);
    add_needs(r, j, LT_STUDY_ORACLE, r->study->oracles.shared ? -1 : b, f, true);
    add_needs(r, j, LT_STUDY_OUTPUTS, -1, f, false);
    add_needs(r, j, LT_STUDY_RUN, b, f, true);
}

static void add_all(lt_study_runner *r)
{
    const lt_study *y = r->study;
    add_bases(r);
    add_oracles(r);
    add_references(r);
    for (int m = 0; m < y->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++)
            if (y->method[m].access[a])
                add_choice(r, m, a);
    for (int b = 0; b < y->bases.n; b++)
        for (int f = 0; f < y->n_forget; f++)
            if (is_pair(r, b, f)) {
                add_runs(r, b, f);
                add_audit(r, b, f);
            }
}

lt_status lti_study_make_jobs(lt_study_runner *r)
{
    size_t n_trials = 0;
    LT_TRY(list_bases_and_forget_sets(r));
    for (int m = 0; m < r->study->n_methods; m++)
        n_trials += LT_N_ACCESS * (size_t)r->study->method[m].n_points;
    const size_t n_choices = (size_t)r->study->n_methods * LT_N_ACCESS;
    r->job = lti_study_list(r, most_jobs(r), sizeof *r->job);
    r->chosen = lti_study_list(r, n_choices, sizeof *r->chosen);
    r->trial = lti_study_list(r, n_trials, sizeof *r->trial);
    if (r->failed)
        return LTI_NOMEM("study");
    add_all(r);
    for (size_t i = 0; i < n_choices; i++)
        r->chosen[i] = -1;
    return r->failed ? LTI_NOMEM("study") : LT_OK;
}
