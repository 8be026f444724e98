// sweep_grid.c - a study as parts that depend on each other.
#include "sweep.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const sweep_kind_text[SWEEP_N_KINDS] = {
    [SWEEP_BASE] = "original model",       [SWEEP_ORACLE] = "oracle",    [SWEEP_REFERENCES] = "reference models",
    [SWEEP_OUTPUTS] = "reference outputs", [SWEEP_POINT] = "tuning run", [SWEEP_TUNE] = "choice",
    [SWEEP_RUN] = "unlearning run",        [SWEEP_AUDIT] = "audit"};

const char *sweep_state_text(const sweep_part *p)
{
    static const char *const text[] = {
        [SWEEP_WAITING] = "missing", [SWEEP_RUNNING] = "running", [SWEEP_DONE] = "done",      [SWEEP_UNFIT] = "unfit",
        [SWEEP_FAILED] = "failed",   [SWEEP_BLOCKED] = "blocked", [SWEEP_STOPPED] = "stopped"};
    return text[p->state];
}

char *sweep_path(const sweep *s, const char *folder, const char *id, const char *suffix)
{
    return cli_format("%s/%s/%s%s", s->out, folder, id, suffix);
}

char *sweep_dir(const sweep *s, const sweep_part *p)
{
    return cli_format("%s/%s", s->out, p->id);
}

bool sweep_settled(const sweep_part *p)
{
    return p->state != SWEEP_WAITING && p->state != SWEEP_RUNNING;
}

int sweep_find(const sweep *s, sweep_kind kind, int base, int forget)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i].kind == kind && s->part[i].base == base && s->part[i].forget == forget)
            return i;
    return -1;
}

// ---- adding parts

static sweep_part *add(sweep *s, sweep_kind kind, char *id)
{
    if (s->n_parts % 64 == 0) {
        sweep_part *more = cli_alloc((size_t)s->n_parts + 64, sizeof *more);
        if (s->n_parts)
            memcpy(more, s->part, (size_t)s->n_parts * sizeof *more);
        free(s->part);
        s->part = more;
    }
    sweep_part *p = &s->part[s->n_parts++];
    *p = (sweep_part){.kind = kind, .id = id, .base = -1, .forget = -1, .method = -1, .access = -1, .point = -1};
    p->repetition = -1;
    p->seconds = NAN;
    return p;
}

static void after(sweep_part *p, int part, bool soft)
{
    sweep_dep *more = cli_alloc((size_t)p->n_deps + 1, sizeof *more);
    if (part < 0)
        LT_BUG("%s depends on a part that is not there", p->id);
    if (p->n_deps)
        memcpy(more, p->dep, (size_t)p->n_deps * sizeof *more);
    free(p->dep);
    p->dep = more;
    p->dep[p->n_deps++] = (sweep_dep){part, soft};
}

static void after_all(const sweep *s, sweep_part *p, sweep_kind kind, int base, int forget, bool soft)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i].kind == kind && (base < 0 || s->part[i].base == base) && s->part[i].forget == forget &&
            &s->part[i] != p)
            after(p, i, soft);
}

static const char *forget_name(const sweep *s, int f)
{
    return s->forget[f].forget->name;
}

static bool tunes(const lt_study *study)
{
    for (int m = 0; m < study->n_methods; m++)
        if (study->method[m].n_points)
            return true;
    return false;
}

static void list_bases_and_forgets(sweep *s)
{
    const lt_study *y = s->study;
    const bool tuning = tunes(y);
    int found = -1;
    s->base = cli_alloc((size_t)y->bases.n + 1, sizeof *s->base);
    s->forget = cli_alloc((size_t)y->n_forget + 1, sizeof *s->forget);
    for (int b = 0; b < y->bases.n; b++) {
        s->base[s->n_bases++] = y->bases.seed[b];
        found = y->bases.seed[b] == y->tuning.base ? b : found;
    }
    for (int f = 0; f < y->n_forget; f++)
        s->forget[s->n_forget++].forget = &y->forget[f];
    if (!tuning)
        return;
    if (found < 0)
        s->base[s->n_bases++] = y->tuning.base;
    s->forget[s->n_forget] = (sweep_forget){.forget = &y->tuning.forget, .tuning = true};
    s->n_forget++;
}

static int tuning_base(const sweep *s)
{
    int b = 0;
    while (s->base[b] != s->study->tuning.base)
        b++;
    return b;
}

static int tuning_forget(const sweep *s)
{
    return s->n_forget - 1;
}

// ---- layers

static void add_bases(sweep *s)
{
    for (int b = 0; b < s->n_bases; b++) {
        sweep_part *p = add(s, SWEEP_BASE, cli_format("bases/b%llu", (unsigned long long)s->base[b]));
        p->base = b;
        p->seed = s->base[b];
    }
}

static void add_oracle(sweep *s, int b, int f, uint64_t seed, bool shared)
{
    char *id = shared ? cli_format("oracles/%s-o%llu", forget_name(s, f), (unsigned long long)seed)
                      : cli_format("oracles/b%llu-%s-o%llu", (unsigned long long)s->base[b], forget_name(s, f),
                                   (unsigned long long)seed);
    sweep_part *p = add(s, SWEEP_ORACLE, id);
    p->base = shared ? -1 : b;
    p->forget = f;
    p->seed = shared ? seed : lt_study_oracle_seed(s->base[b], seed);
    after(p, sweep_find(s, SWEEP_BASE, b, -1), false);
}

static void add_oracles(sweep *s)
{
    const lt_study *y = s->study;
    for (int f = 0; f < y->n_forget; f++)
        for (int b = 0; b < (y->oracles.shared ? 1 : y->bases.n); b++)
            for (int k = 0; k < y->oracles.seeds.n; k++)
                add_oracle(s, b, f, y->oracles.seeds.seed[k], y->oracles.shared);
    if (tunes(y) && y->tuning.uses_oracle)
        for (int k = 0; k < y->tuning.oracles.n; k++)
            add_oracle(s, tuning_base(s), tuning_forget(s), y->tuning.oracles.seed[k], false);
}

// An attack of the tuning objective, or NULL.
static const char *tuning_attack(const sweep *s)
{
    const lt_mia *mia;
    const char *name = s->study->tuning.uses_oracle ? s->study->tuning.objective + 4 : "";
    bool found = *name && lt_mia_find(name, &mia) == LT_OK;
    lt_error_clear();
    return found ? name : NULL;
}

static bool needs_outputs(const sweep *s, int f)
{
    const lt_mia *mia;
    const char *attack = s->forget[f].tuning ? tuning_attack(s) : NULL;
    if (!s->forget[f].tuning)
        return true;
    return attack && lt_mia_find(attack, &mia) == LT_OK && (mia->needs & LT_MIA_NEED_REFERENCES);
}

// The samples and their order are those of the signals of any oracle or run of the forget set.
static void add_references(sweep *s)
{
    if (s->study->references.count == 0)
        return;
    add(s, SWEEP_REFERENCES, cli_format("references/models"));
    const int models = s->n_parts - 1;
    for (int f = 0; f < s->n_forget; f++) {
        if (!needs_outputs(s, f))
            continue;
        sweep_part *p = add(s, SWEEP_OUTPUTS, cli_format("references/%s", forget_name(s, f)));
        p->forget = f;
        after(p, models, false);
        for (int i = 0; i < s->n_parts; i++) // the first oracle
            if (s->part[i].kind == SWEEP_ORACLE && s->part[i].forget == f) {
                after(p, i, false);
                break;
            }
    }
}

// Runs that search for the same adversarial set wait for the first of them, which leaves it in the cache.
static void after_search(sweep *s, sweep_part *p)
{
    if (!(s->study->method[p->method].method->needs & LT_NEED_ATTACK))
        return;
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *q = &s->part[i];
        if (q != p && (q->kind == SWEEP_POINT || q->kind == SWEEP_RUN) && q->base == p->base &&
            q->forget == p->forget && (s->study->method[q->method].method->needs & LT_NEED_ATTACK)) {
            after(p, i, true);
            return;
        }
    }
}

static char *slug(const lt_study_options *point)
{
    enum { MAX = 100 };
    uint64_t h = 1469598103934665603u;
    char *text = cli_format("%s", "");
    for (int i = 0; i < point->n; i++) {
        char *longer = cli_format("%s%s%s=%s", text, i ? "_" : "", point->option[i].key, point->option[i].value);
        free(text);
        text = longer;
    }
    for (char *c = text; *c; c++) {
        h = (h ^ (unsigned char)*c) * 1099511628211u;
        if (*c == '/' || *c == ',' || *c == ' ' || (unsigned char)*c < 32)
            *c = '-';
    }
    if (strlen(text) <= MAX)
        return text;
    char *cut = cli_format("%.*s-%016llx", MAX - 20, text, (unsigned long long)h);
    free(text);
    return cut;
}

static void add_points(sweep *s, int m, int a)
{
    const lt_study_method *method = &s->study->method[m];
    for (int k = 0; k < method->n_points; k++) {
        char *name = slug(&method->point[k]);
        sweep_part *p = add(s, SWEEP_POINT, cli_format("tuning/%s/%s/%s", method->name, lt_access_text(a), name));
        free(name);
        p->base = tuning_base(s);
        p->forget = tuning_forget(s);
        p->method = m;
        p->access = a;
        p->point = k;
        p->seed = s->study->tuning.seed;
        after(p, sweep_find(s, SWEEP_BASE, p->base, -1), false);
        after_search(s, p);
    }
}

static void add_tune(sweep *s, int m, int a)
{
    const lt_study_method *method = &s->study->method[m];
    if (!method->n_points)
        return;
    add_points(s, m, a);
    sweep_part *p = add(s, SWEEP_TUNE, cli_format("audits/tuning-%s-%s", method->name, lt_access_text(a)));
    p->base = tuning_base(s);
    p->forget = tuning_forget(s);
    p->method = m;
    p->access = a;
    after(p, sweep_find(s, SWEEP_BASE, p->base, -1), false);
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i].kind == SWEEP_POINT && s->part[i].method == m && s->part[i].access == a)
            after(p, i, true);
    after_all(s, p, SWEEP_ORACLE, p->base, p->forget, true);
    after_all(s, p, SWEEP_OUTPUTS, -1, p->forget, false);
}

static int tune_of(const sweep *s, int m, int a)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i].kind == SWEEP_TUNE && s->part[i].method == m && s->part[i].access == a)
            return i;
    return -1;
}

static void add_runs(sweep *s, int b, int f)
{
    const lt_study *y = s->study;
    for (int m = 0; m < y->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++)
            for (int k = 0; y->method[m].access[a] && k < y->repetitions.n; k++) {
                sweep_part *p = add(s, SWEEP_RUN,
                                    cli_format("runs/%s/%s/b%llu-%s-r%llu", y->method[m].name, lt_access_text(a),
                                               (unsigned long long)s->base[b], forget_name(s, f),
                                               (unsigned long long)y->repetitions.seed[k]));
                p->base = b;
                p->forget = f;
                p->method = m;
                p->access = a;
                p->repetition = k;
                p->seed = y->repetitions.seed[k];
                after(p, sweep_find(s, SWEEP_BASE, b, -1), false);
                if (y->method[m].n_points)
                    after(p, tune_of(s, m, a), false);
                after_search(s, p);
            }
}

static void add_audit(sweep *s, int b, int f)
{
    sweep_part *p =
        add(s, SWEEP_AUDIT, cli_format("audits/b%llu-%s", (unsigned long long)s->base[b], forget_name(s, f)));
    p->base = b;
    p->forget = f;
    after(p, sweep_find(s, SWEEP_BASE, b, -1), false);
    after_all(s, p, SWEEP_ORACLE, s->study->oracles.shared ? -1 : b, f, true);
    after_all(s, p, SWEEP_OUTPUTS, -1, f, false);
    after_all(s, p, SWEEP_RUN, b, f, true);
}

void sweep_grid_build(sweep *s)
{
    const lt_study *y = s->study;
    list_bases_and_forgets(s);
    add_bases(s);
    add_oracles(s);
    add_references(s);
    for (int m = 0; m < y->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++)
            if (y->method[m].access[a])
                add_tune(s, m, a);
    for (int b = 0; b < y->bases.n; b++)
        for (int f = 0; f < y->n_forget; f++) {
            add_runs(s, b, f);
            add_audit(s, b, f);
        }
    const size_t n_choices = (size_t)y->n_methods * LT_N_ACCESS;
    s->chosen = cli_alloc(n_choices, sizeof *s->chosen);
    for (size_t i = 0; i < n_choices; i++)
        s->chosen[i] = -1;
    s->tuned = json_array();
}

void sweep_clear(sweep *s)
{
    for (int i = 0; i < s->n_parts; i++) {
        free(s->part[i].id);
        free(s->part[i].dep);
        free(s->part[i].error);
        cli_list_clear(&s->part[i].args);
    }
    free(s->part);
    free(s->base);
    free(s->forget);
    free(s->chosen);
    json_decref(s->tuned);
}
