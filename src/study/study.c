// study.c - the sections of a study file, and what they must not contradict.
#include "study/parse.h"
#include <stdlib.h>
#include <string.h>

static const char no_oracle[] = "no-oracle";
enum { ORACLES_PER_BASE = 1000 };

const char *lt_access_text(int access)
{
    return access == LT_ACCESS_RETAIN ? "retain" : "forget-only";
}

uint64_t lt_study_oracle_seed(uint64_t base, uint64_t seed)
{
    return base * ORACLES_PER_BASE + seed;
}

// Larger seeds of one original model would be those of the next.
static lt_status check_oracle_seeds(lti_study_reader *r, const lti_yaml *node, const lt_study_seeds *seeds)
{
    for (int i = 0; i < seeds->n; i++)
        if (seeds->seed[i] >= ORACLES_PER_BASE)
            return LT_FAIL(LT_E_USAGE, "%s:%d: oracles: expected seeds below %d, found %llu", LTI_AT(r, node),
                           (int)ORACLES_PER_BASE, (unsigned long long)seeds->seed[i]);
    return LT_OK;
}

static lt_status need(lti_study_reader *r, const lti_yaml *map, const char *key, const lti_yaml **node)
{
    *node = lti_yaml_get(map, key);
    if (*node)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s:%d: %s%sexpected a key '%s', found none", LTI_AT(r, map), map->key ? map->key : "",
            map->key ? ": " : "", key);
    return lt_error_hint("docs/sweeps.md has a complete example");
}

// ---- forget sets

static bool is_random(const char *spec)
{
    return !strncmp(spec, "random:", 7);
}

// "random:10%" with seed 1 -> "random-10pct-s1"
static lt_status forget_name(lti_study_reader *r, lt_study_forget *f)
{
    enum { MAX_NAME = 60 };
    lti_buf b = {0};
    for (const char *p = f->spec; *p; p++) {
        const bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                           (*p == '.' && p != f->spec) || *p == '_';
        lti_buf_puts(&b, *p == '%' ? "pct" : "");
        if (*p != '%')
            lti_buf_add(&b, plain ? p : "-", 1);
    }
    if (is_random(f->spec))
        lti_buf_printf(&b, "-s%llu", (unsigned long long)f->seed);
    char *text = lti_buf_take(&b);
    if (!text)
        return LTI_NOMEM(r->label);
    const size_t n = strlen(text);
    f->name = lti_arena_strdup(&r->arena, n > MAX_NAME ? text + n - MAX_NAME : text); // the end tells files apart
    free(text);
    return f->name ? LT_OK : LTI_NOMEM(r->label);
}

// The original models that a forget set is restricted to are among those of the study.
static lt_status check_bases(lti_study_reader *r, const lti_yaml *node, const lt_study_seeds *bases)
{
    const lt_study_seeds *all = &r->study.bases;
    for (int i = 0; i < bases->n; i++) {
        bool found = false;
        for (int k = 0; k < all->n; k++)
            found = found || all->seed[k] == bases->seed[i];
        if (!found)
            return LT_FAIL(LT_E_USAGE, "%s:%d: bases: expected seeds of `bases` of the study, found %llu",
                           LTI_AT(r, node), (unsigned long long)bases->seed[i]);
    }
    return LT_OK;
}

static lt_status read_forget(lti_study_reader *r, const lti_yaml *node, lt_study_forget *f)
{
    static const char *const known[] = {"spec", "seed", "bases", NULL};
    static const char *const kinds[] = {"random:", "class:", "file:"};
    const lti_yaml *spec = node, *seed = NULL;
    *f = (lt_study_forget){.seed = 1, .line = node->line};
    if (node->kind != LTI_YAML_SCALAR) {
        LT_TRY(lti_study_keys(r, node, known));
        LT_TRY(need(r, node, "spec", &spec));
        seed = lti_yaml_get(node, "seed");
        const lti_yaml *bases = lti_yaml_get(node, "bases");
        if (bases)
            LT_TRY(lti_study_seeds(r, bases, &f->bases));
        if (bases)
            LT_TRY(check_bases(r, bases, &f->bases));
    }
    LT_TRY(lti_yaml_text(r->label, spec, &f->spec));
    if (seed)
        LT_TRY(lti_study_u64(r, seed, &f->seed));
    bool found = false;
    for (int i = 0; i < 3; i++)
        found = found || (!strncmp(f->spec, kinds[i], strlen(kinds[i])) && f->spec[strlen(kinds[i])]);
    if (!found)
        return LT_FAIL(LT_E_USAGE, "%s:%d: expected random:10%%, random:5000, class:3,7 or file:IDS.csv, found '%s'",
                       LTI_AT(r, spec), f->spec);
    return forget_name(r, f);
}

static lt_status read_forgets(lti_study_reader *r, const lti_yaml *list)
{
    lt_status status;
    lt_study *s = &r->study;
    LT_TRY(lti_yaml_expect(r->label, list, LTI_YAML_LIST));
    if (list->n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: forget: expected at least one forget set, found none", LTI_AT(r, list));
    s->forget = lti_study_alloc(r, (size_t)list->n, sizeof *s->forget, &status);
    LT_TRY(status);
    for (const lti_yaml *c = list->first; c; c = c->next) {
        lt_study_forget *f = &s->forget[s->n_forget];
        LT_TRY(read_forget(r, c, f));
        for (int i = 0; i < s->n_forget; i++)
            if (!strcmp(s->forget[i].name, f->name))
                return LT_FAIL(LT_E_USAGE, "%s:%d: forget: expected different sets, but %s is called %s like %s",
                               LTI_AT(r, c), f->spec, f->name, s->forget[i].spec);
        s->n_forget++;
    }
    return LT_OK;
}

// ---- training, oracles, references, audit

static lt_status read_train(lti_study_reader *r, const lti_yaml *map, lt_study_options *out)
{
    lti_study_training training = {0};
    lti_study_set set = {0};
    LT_TRY(lt_optset_create(&set.set));
    lt_status status = lti_study_training_bind(&training, set.set);
    if (status == LT_OK)
        status = lti_study_options(r, &set, map, out);
    lti_study_set_close(&set);
    return status;
}

static lt_status read_oracles(lti_study_reader *r, const lti_yaml *node)
{
    static const char *const known[] = {"seeds", "shared", NULL};
    lt_study_oracles *o = &r->study.oracles;
    if (node->kind != LTI_YAML_MAP) {
        LT_TRY(lti_study_seeds(r, node, &o->seeds));
        return check_oracle_seeds(r, node, &o->seeds);
    }
    const lti_yaml *seeds, *shared;
    LT_TRY(lti_study_keys(r, node, known));
    LT_TRY(need(r, node, "seeds", &seeds));
    LT_TRY(lti_study_seeds(r, seeds, &o->seeds));
    shared = lti_yaml_get(node, "shared");
    if (shared)
        LT_TRY(lti_study_bool(r, shared, &o->shared));
    return o->shared ? LT_OK : check_oracle_seeds(r, seeds, &o->seeds);
}

// The recipe of the references is that of the study; what `train` says here replaces it.
static lt_status merge_recipe(lti_study_reader *r, const lt_study_options *own, lt_study_options *out)
{
    lt_status status;
    const lt_study_options *common = &r->study.train;
    out->option = lti_study_alloc(r, (size_t)own->n + (size_t)common->n, sizeof *out->option, &status);
    LT_TRY(status);
    for (int i = 0; i < common->n; i++) {
        bool replaced = false;
        for (int j = 0; j < own->n && !replaced; j++)
            replaced = !strcmp(own->option[j].key, common->option[i].key);
        if (!replaced)
            out->option[out->n++] = common->option[i];
    }
    for (int j = 0; j < own->n; j++)
        out->option[out->n++] = own->option[j];
    return LT_OK;
}

static lt_status read_references(lti_study_reader *r, const lti_yaml *map)
{
    static const char *const known[] = {"count", "seed", "keep-seed", "store", "train", NULL};
    lt_study_references *ref = &r->study.references;
    lt_study_options own = {0};
    const lti_yaml *count, *node;
    LT_TRY(lti_study_keys(r, map, known));
    LT_TRY(need(r, map, "count", &count));
    LT_TRY(lti_study_i32(r, count, 2, 65536, &ref->count));
    if (ref->count % 2)
        return LT_FAIL(LT_E_USAGE, "%s:%d: count: expected an even number, found %d", LTI_AT(r, count), ref->count);
    if ((node = lti_yaml_get(map, "seed")))
        LT_TRY(lti_study_u64(r, node, &ref->seed));
    if ((node = lti_yaml_get(map, "keep-seed")))
        LT_TRY(lti_study_u64(r, node, &ref->keep_seed));
    if ((node = lti_yaml_get(map, "store")))
        LT_TRY(lti_yaml_text(r->label, node, &ref->store));
    LT_TRY(read_train(r, lti_yaml_get(map, "train"), &own));
    return merge_recipe(r, &own, &ref->train);
}

static lt_status check_attack(lti_study_reader *r, const lti_yaml *node, const char *name)
{
    const lt_mia *mia;
    LT_TRY(lti_study_placed(r, node, lt_mia_find(name, &mia)));
    if ((mia->needs & LT_MIA_NEED_REFERENCES) && r->study.references.count == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: attack %s needs reference models: expected a section 'references'",
                       LTI_AT(r, node), name);
    if (mia->needs & LT_MIA_NEED_UNLEARNED)
        return LT_FAIL(LT_E_USAGE, "%s:%d: attack %s needs models that have unlearned; a study has none",
                       LTI_AT(r, node), name);
    return LT_OK;
}

// One name or a list of names.
static lt_status read_attacks(lti_study_reader *r, const lti_yaml *node)
{
    const bool one = node->kind == LTI_YAML_SCALAR;
    const char *a, *b;
    if (!one)
        LT_TRY(lti_yaml_expect(r->label, node, LTI_YAML_LIST));
    if (!one && node->n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: attacks: expected at least one attack, found none", LTI_AT(r, node));
    for (const lti_yaml *c = one ? node : node->first; c; c = one ? NULL : c->next) {
        LT_TRY(lti_yaml_text(r->label, c, &a));
        LT_TRY(check_attack(r, c, a));
        for (const lti_yaml *d = node->first; !one && d != c; d = d->next) {
            LT_TRY(lti_yaml_text(r->label, d, &b));
            if (!strcmp(a, b))
                return LT_FAIL(LT_E_USAGE, "%s:%d: attacks: expected different attacks, found %s twice", LTI_AT(r, c),
                               a);
        }
    }
    return lti_yaml_value(r->label, &r->arena, node, &r->study.attacks);
}

static lt_status open_audit_set(lti_study_set *set)
{
    enum { MAX_TABLES = 32 };
    lti_study_table table[MAX_TABLES] = {{"", lt_audit_options, sizeof(lt_audit_cfg)},
                                         {"", lt_verdict_options, sizeof(lt_verdict_cfg)}};
    int n = 2;
    for (const lt_mia *const *m = lt_mia_list(); *m && n < MAX_TABLES; m++)
        if ((*m)->opts[0].name)
            table[n++] = (lti_study_table){(*m)->name, (*m)->opts, (*m)->cfg_size};
    return lti_study_set_open(table, n, set);
}

static lt_status read_audit(lti_study_reader *r, const lti_yaml *map)
{
    lti_study_set set;
    LT_TRY(lti_yaml_expect(r->label, map, LTI_YAML_MAP));
    const lti_yaml *attacks = lti_yaml_get(map, "attacks");
    if (attacks)
        LT_TRY(read_attacks(r, attacks));
    lti_yaml rest = *map; // without attacks, which is a list of its own
    lti_yaml **last = &rest.first;
    for (const lti_yaml *c = map->first; c; c = c->next) {
        lt_status status;
        lti_yaml *copy = lti_study_alloc(r, 1, sizeof *copy, &status);
        LT_TRY(status);
        *copy = *c;
        copy->next = NULL;
        if (c == attacks)
            continue;
        *last = copy;
        last = &copy->next;
    }
    *last = NULL;
    LT_TRY(open_audit_set(&set));
    lt_status status = lti_study_options(r, &set, &rest, &r->study.audit);
    lti_study_set_close(&set);
    return status;
}

// ---- tuning

static lt_status read_objective(lti_study_reader *r, const lti_yaml *node)
{
    lt_study_tuning *t = &r->study.tuning;
    const char *names[64] = {"gap-auc", "gap-mis", no_oracle};
    char text[64][48];
    int n = 3;
    t->objective = "gap-auc";
    t->uses_oracle = true;
    if (!node)
        return LT_OK;
    LT_TRY(lti_yaml_text(r->label, node, &t->objective));
    for (const lt_mia *const *m = lt_mia_list(); *m && n < 63; m++)
        if (!((*m)->needs & LT_MIA_NEED_UNLEARNED)) {
            lti_format(text[n], sizeof text[n], "gap-%s", (*m)->name);
            names[n] = text[n];
            n++;
        }
    names[n] = NULL;
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], t->objective)) {
            t->uses_oracle = strcmp(t->objective, no_oracle) != 0;
            return i < 3 ? LT_OK : check_attack(r, node, t->objective + 4);
        }
    LT_FAIL(LT_E_USAGE, "%s:%d: objective: expected gap-auc, gap-mis, gap-ATTACK or no-oracle, found '%s'",
            LTI_AT(r, node), t->objective);
    return lti_name_hint(t->objective, names);
}

// What is chosen on a forget set must not be judged on it.
static lt_status check_separate(lti_study_reader *r, const lti_yaml *node)
{
    const lt_study_forget *own = &r->study.tuning.forget;
    for (int i = 0; i < r->study.n_forget; i++) {
        const lt_study_forget *f = &r->study.forget[i];
        const bool random = is_random(own->spec) && is_random(f->spec);
        if (random ? own->seed != f->seed : strcmp(own->spec, f->spec) != 0)
            continue;
        LT_FAIL(LT_E_USAGE, "%s:%d: forget: the tuning forget set %s overlaps %s of line %d, which is evaluated",
                LTI_AT(r, node), own->name, f->name, f->line);
        return lt_error_hint(random ? "give it its own seed" : "tune on samples that are not evaluated");
    }
    return LT_OK;
}

static lt_status read_tuning(lti_study_reader *r, const lti_yaml *map)
{
    static const char *const known[] = {"base", "seed", "forget", "oracles", "objective", "budget", NULL};
    enum { DEFAULT_BUDGET = 64, MAX_BUDGET = 4096 };
    lt_study_tuning *t = &r->study.tuning;
    const lti_yaml *base, *forget, *node;
    *t = (lt_study_tuning){.seed = 1, .budget = DEFAULT_BUDGET};
    LT_TRY(lti_study_keys(r, map, known));
    LT_TRY(need(r, map, "base", &base));
    LT_TRY(lti_study_u64(r, base, &t->base));
    LT_TRY(need(r, map, "forget", &forget));
    LT_TRY(read_forget(r, forget, &t->forget));
    if (t->forget.bases.n)
        return LT_FAIL(LT_E_USAGE, "%s:%d: bases: the original model of the tuning is `base` of `tuning`",
                       LTI_AT(r, forget));
    LT_TRY(check_separate(r, forget));
    if ((node = lti_yaml_get(map, "seed")))
        LT_TRY(lti_study_u64(r, node, &t->seed));
    if ((node = lti_yaml_get(map, "budget")))
        LT_TRY(lti_study_i32(r, node, 1, MAX_BUDGET, &t->budget));
    LT_TRY(read_objective(r, lti_yaml_get(map, "objective")));
    node = lti_yaml_get(map, "oracles");
    if (!t->uses_oracle)
        return node ? LT_FAIL(LT_E_USAGE, "%s:%d: oracles: the objective %s uses none", LTI_AT(r, node), t->objective)
                    : LT_OK;
    LT_TRY(need(r, map, "oracles", &node));
    LT_TRY(lti_study_seeds(r, node, &t->oracles));
    return check_oracle_seeds(r, node, &t->oracles);
}

// ---- methods

static bool supports(const lt_unlearn_method *m, int access)
{
    return access == LT_ACCESS_RETAIN ? !(m->needs & LT_FORGET_ONLY) : !(m->needs & LT_NEED_RETAIN);
}

static lt_status read_access_list(lti_study_reader *r, const lti_yaml *node, bool wanted[LT_N_ACCESS])
{
    const bool one = node->kind == LTI_YAML_SCALAR;
    if (!one)
        LT_TRY(lti_yaml_expect(r->label, node, LTI_YAML_LIST));
    for (const lti_yaml *c = one ? node : node->first; c; c = one ? NULL : c->next) {
        const char *text;
        bool found = false;
        LT_TRY(lti_yaml_text(r->label, c, &text));
        for (int a = 0; a < LT_N_ACCESS; a++)
            if (!strcmp(text, lt_access_text(a)))
                found = wanted[a] = true;
        if (!found)
            return LT_FAIL(LT_E_USAGE, "%s:%d: access: expected retain or forget-only, found '%s'", LTI_AT(r, c), text);
    }
    return LT_OK;
}

// Named for this method: a setting it has not is an error. Of the whole study: such settings are left out.
static lt_status choose_access(lti_study_reader *r, const lti_yaml *map, const bool common[LT_N_ACCESS],
                               lt_study_method *m)
{
    const lti_yaml *node = lti_yaml_get(map, "access");
    bool wanted[LT_N_ACCESS] = {false}, any = false;
    if (node)
        LT_TRY(read_access_list(r, node, wanted));
    for (int a = 0; a < LT_N_ACCESS; a++) {
        if (node && wanted[a] && !supports(m->method, a))
            return LT_FAIL(LT_E_USAGE, "%s:%d: access: %s %s retained data, so there is no setting %s", LTI_AT(r, node),
                           m->method->name, a == LT_ACCESS_RETAIN ? "never reads" : "needs", lt_access_text(a));
        m->access[a] = (node ? wanted[a] : common[a]) && supports(m->method, a);
        any = any || m->access[a];
    }
    if (!any)
        return LT_FAIL(
            LT_E_USAGE,
            "%s:%d: %s: expected the access setting %s, the only one that %s supports; `access` does not name it",
            LTI_AT(r, map), m->name,
            lt_access_text(supports(m->method, LT_ACCESS_RETAIN) ? LT_ACCESS_RETAIN : LT_ACCESS_FORGET_ONLY),
            m->method->name);
    return LT_OK;
}

static lt_status find_method(lti_study_reader *r, const lti_yaml *map, lt_study_method *m)
{
    const lti_yaml *node, *name = lti_yaml_get(map, "name");
    const char *text;
    LT_TRY(need(r, map, "method", &node));
    LT_TRY(lti_yaml_text(r->label, node, &text));
    LT_TRY(lti_study_placed(r, node, lt_unlearn_find(text, &m->method)));
    if (m->method->needs & LT_FROM_SCRATCH)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s makes the oracles: expected a method of unlearning", LTI_AT(r, node),
                       text);
    LT_TRY(lti_study_name(r, name ? name : node, &m->name));
    for (int i = 0; i < r->study.n_methods; i++)
        if (!strcmp(r->study.method[i].name, m->name))
            return LT_FAIL(LT_E_USAGE, "%s:%d: expected different names of methods, found '%s' twice",
                           LTI_AT(r, name ? name : node), m->name);
    return LT_OK;
}

static lt_status read_method(lti_study_reader *r, const lti_yaml *map, const bool common[LT_N_ACCESS],
                             lt_study_method *m)
{
    static const char *const known[] = {"name", "method", "access", "options", "grid", "random", NULL};
    lti_study_set set;
    *m = (lt_study_method){.line = map->line};
    LT_TRY(lti_study_keys(r, map, known));
    LT_TRY(find_method(r, map, m));
    LT_TRY(choose_access(r, map, common, m));
    const lti_yaml *grid = lti_yaml_get(map, "grid"), *random = lti_yaml_get(map, "random");
    if ((grid || random) && !r->study.tuning.forget.spec)
        return LT_FAIL(LT_E_USAGE, "%s:%d: %s: expected a section 'tuning' that says where to choose, found none",
                       LTI_AT(r, grid ? grid : random), m->name);
    const lti_study_table table[] = {{"", m->method->opts, m->method->cfg_size}};
    LT_TRY(lti_study_set_open(table, 1, &set));
    lt_status status = lti_study_options(r, &set, lti_yaml_get(map, "options"), &m->options);
    if (status == LT_OK && (grid || random))
        status = lti_study_points(r, &set, grid, random, r->study.tuning.budget, r->study.tuning.seed, m);
    lti_study_set_close(&set);
    return status;
}

static lt_status read_methods(lti_study_reader *r, const lti_yaml *list, const lti_yaml *access)
{
    lt_status status;
    lt_study *s = &r->study;
    bool common[LT_N_ACCESS] = {!access, !access};
    LT_TRY(lti_yaml_expect(r->label, list, LTI_YAML_LIST));
    if (list->n == 0)
        return LT_FAIL(LT_E_USAGE, "%s:%d: methods: expected at least one method, found none", LTI_AT(r, list));
    if (access)
        LT_TRY(read_access_list(r, access, common));
    s->method = lti_study_alloc(r, (size_t)list->n, sizeof *s->method, &status);
    LT_TRY(status);
    for (const lti_yaml *c = list->first; c; c = c->next) {
        LT_TRY(read_method(r, c, common, &s->method[s->n_methods]));
        s->n_methods++;
    }
    return LT_OK;
}

// ---- the whole file

static lt_status read_basics(lti_study_reader *r, const lti_yaml *root)
{
    lt_study *s = &r->study;
    const lti_yaml *node;
    if ((node = lti_yaml_get(root, "study")))
        LT_TRY(lti_yaml_text(r->label, node, &s->name));
    LT_TRY(need(r, root, "data", &node));
    LT_TRY(lti_yaml_text(r->label, node, &s->data));
    s->data_line = node->line;
    LT_TRY(need(r, root, "model", &node));
    LT_TRY(lti_yaml_text(r->label, node, &s->model));
    s->model_line = node->line;
    LT_TRY(need(r, root, "bases", &node));
    LT_TRY(lti_study_seeds(r, node, &s->bases));
    LT_TRY(need(r, root, "forget", &node));
    LT_TRY(read_forgets(r, node));
    if ((node = lti_yaml_get(root, "repetitions")))
        return lti_study_seeds(r, node, &s->repetitions);
    s->repetitions.seed = lti_arena_alloc(&r->arena, sizeof *s->repetitions.seed);
    if (!s->repetitions.seed)
        return LTI_NOMEM(r->label);
    s->repetitions.seed[s->repetitions.n++] = 1;
    return LT_OK;
}

static lt_status read_study(lti_study_reader *r, const lti_yaml *root)
{
    static const char *const known[] = {"study",   "data",       "model", "train",  "bases",  "forget",  "repetitions",
                                        "oracles", "references", "audit", "access", "tuning", "methods", NULL};
    const lti_yaml *node;
    LT_TRY(lti_study_keys(r, root, known));
    LT_TRY(read_basics(r, root));
    LT_TRY(read_train(r, lti_yaml_get(root, "train"), &r->study.train));
    LT_TRY(need(r, root, "oracles", &node));
    LT_TRY(read_oracles(r, node));
    if ((node = lti_yaml_get(root, "references")))
        LT_TRY(read_references(r, node));
    if ((node = lti_yaml_get(root, "audit")))
        LT_TRY(read_audit(r, node));
    if ((node = lti_yaml_get(root, "tuning")))
        LT_TRY(read_tuning(r, node));
    LT_TRY(need(r, root, "methods", &node));
    return read_methods(r, node, lti_yaml_get(root, "access"));
}

lt_status lt_study_parse(const char *text, size_t n, const char *label, lt_study **study)
{
    lti_yaml *root;
    lti_study_reader *r = lti_calloc(1, sizeof *r);
    *study = NULL;
    if (!r)
        return LTI_NOMEM(label);
    r->label = lti_arena_strdup(&r->arena, label);
    r->text = lti_arena_alloc(&r->arena, n + 1);
    r->n_text = n;
    if (r->text)
        memcpy(r->text, text, n);
    lt_status status = r->label && r->text ? lti_yaml_parse(text, n, r->label, &r->arena, &root) : LTI_NOMEM(label);
    if (status == LT_OK)
        status = read_study(r, root);
    r->study.own = r;
    if (status == LT_OK)
        *study = &r->study;
    else
        lt_study_close(&r->study);
    return status;
}

lt_status lt_study_open(const char *path, lt_study **study)
{
    char *text;
    size_t n;
    *study = NULL;
    LT_TRY(lt_read_file(path, LTI_YAML_MAX_BYTES, &text, &n));
    lt_status status = lt_study_parse(text, n, path, study);
    free(text);
    return status;
}

void lt_study_close(lt_study *study)
{
    if (!study)
        return;
    lti_study_reader *r = study->own;
    lti_arena_clear(&r->arena);
    lti_free(r);
}
