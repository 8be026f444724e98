// identity.c - what a job is made from, its digest, and the command that makes it.
#include "study/runner_impl.h"
#include <string.h>

// ---- fields

static const char *keep_text(lti_study_identity *id, const char *text)
{
    const char *copy = lti_arena_strdup(&id->arena, text);
    id->failed = id->failed || !copy;
    return copy;
}

static void add_field(lti_study_identity *id, const lti_study_field *field)
{
    if (id->n == id->capacity) {
        const int capacity = id->capacity ? 2 * id->capacity : 16;
        lti_study_field *more = lti_arena_alloc(&id->arena, (size_t)capacity * sizeof *more);
        if (!more) {
            id->failed = true;
            return;
        }
        if (id->n)
            memcpy(more, id->field, (size_t)id->n * sizeof *more);
        id->field = more;
        id->capacity = capacity;
    }
    id->field[id->n++] = *field;
}

static void add_text(lti_study_identity *id, const char *key, const char *value)
{
    add_field(id, &(lti_study_field){.key = key, .value = keep_text(id, value)});
}

static void add_number(lti_study_identity *id, const char *key, uint64_t value)
{
    char text[32];
    lti_format(text, sizeof text, "%llu", (unsigned long long)value);
    add_text(id, key, text);
}

static void add_switch(lti_study_identity *id, const char *key)
{
    add_field(id, &(lti_study_field){.key = key});
}

static void add_product(lti_study_identity *id, const char *key, const char *job, const char *suffix)
{
    add_field(id, &(lti_study_field){.key = key, .job = job, .suffix = suffix});
}

static void add_options(lti_study_identity *id, const lt_study_options *options)
{
    for (int i = 0; i < options->n; i++)
        add_text(id, options->option[i].key, options->option[i].value);
}

// ---- the kinds of jobs

static void add_forget(const lt_study_runner *r, int f, lti_study_identity *id)
{
    add_text(id, "forget", r->forget[f].forget->spec);
    add_number(id, "forget-seed", r->forget[f].forget->seed);
}

static const char *base_id(const lt_study_runner *r, int base)
{
    const int i = lti_study_find_job(r, LT_STUDY_BASE, base, -1);
    if (i < 0)
        LT_BUG("no original model %d", base);
    return r->job[i].id;
}

static void identify_base(const lt_study_runner *r, const lti_study_job *j, lti_study_identity *id)
{
    id->verb = "train";
    add_text(id, "data", r->study->data);
    add_text(id, "model", r->study->model);
    add_options(id, &r->study->train);
    add_number(id, "seed", j->seed);
    add_product(id, "out", j->id, "");
}

static void identify_references(const lt_study_runner *r, const char *action, lti_study_identity *id)
{
    const lt_study_references *refs = &r->study->references;
    id->verb = "store";
    id->action = action;
    add_text(id, "data", r->study->data);
    add_text(id, "model", r->study->model);
    add_options(id, &refs->train);
    add_number(id, "count", (uint64_t)refs->count);
    add_number(id, "seed", refs->seed);
    add_number(id, "keep-seed", refs->keep_seed);
    if (refs->store)
        add_text(id, "store", refs->store);
}

static void identify_outputs(const lt_study_runner *r, const lti_study_job *j, lti_study_identity *id)
{
    identify_references(r, "signals", id);
    for (int i = 0; i < j->n_needs; i++)
        if (r->job[j->need[i].job].kind == LT_STUDY_ORACLE)
            add_product(id, "like", r->job[j->need[i].job].id, "/signals.npz");
    add_product(id, "out", j->id, ".npz");
}

static void identify_unlearning(const lt_study_runner *r, const lti_study_job *j, const char *method,
                                lti_study_identity *id)
{
    id->verb = "unlearn";
    add_product(id, NULL, base_id(r, j->base < 0 ? 0 : j->base), "");
    add_text(id, "method", method);
    add_forget(r, j->forget, id);
    add_number(id, "seed", j->seed);
    add_product(id, "out", j->id, "");
}

// What only matters to methods that attack: other methods would get another configuration for nothing.
static void identify_method(const lt_study_runner *r, const lti_study_job *j, int point, lti_study_identity *id)
{
    const lt_study_method *m = &r->study->method[j->method];
    identify_unlearning(r, j, m->method->name, id);
    if (m->method->needs & LT_NEED_ATTACK) {
        add_product(id, "cache", "cache", "");
        add_switch(id, "no-save-adv");
    }
    add_switch(id, j->access == LT_ACCESS_RETAIN ? "retain" : "no-retain");
    add_options(id, &m->options);
    if (point >= 0)
        add_options(id, lti_study_point(r, j->method, j->access, point));
}

static void add_audited(const lt_study_runner *r, const lti_study_job *j, const char *key, lt_study_kind kind,
                        lti_study_identity *id)
{
    for (int i = 0; i < j->n_needs; i++) {
        const lti_study_job *other = &r->job[j->need[i].job];
        if (other->kind == kind && other->state == LT_STUDY_DONE)
            add_product(id, key, other->id, "");
    }
}

static bool is_attack(const char *name)
{
    const lt_mia *attack;
    const bool found = lt_mia_find(name, &attack) == LT_OK;
    lt_error_clear();
    return found;
}

static void identify_audit(const lt_study_runner *r, const lti_study_job *j, lti_study_identity *id)
{
    static const char gap[] = "gap-";
    const bool chooses = j->kind == LT_STUDY_CHOICE;
    const char *objective = r->study->tuning.objective;
    id->verb = "audit";
    add_switch(id, "allow-lint"); // what the linter says is part of the table of the study
    add_product(id, NULL, base_id(r, j->base), "");
    add_audited(r, j, "also", chooses ? LT_STUDY_TRIAL : LT_STUDY_RUN, id);
    add_audited(r, j, "oracle", LT_STUDY_ORACLE, id);
    add_forget(r, j->forget, id);
    const int outputs = lti_study_find_job(r, LT_STUDY_OUTPUTS, -1, j->forget);
    if (outputs >= 0)
        add_product(id, "references", r->job[outputs].id, ".npz");
    add_options(id, &r->study->audit);
    if (chooses) { // no more than the objective asks for
        const bool attack = !strncmp(objective, gap, strlen(gap)) && is_attack(objective + strlen(gap));
        add_text(id, "attacks", attack ? objective + strlen(gap) : "loss");
        add_text(id, "bootstrap", "0");
    } else if (r->study->attacks) {
        add_text(id, "attacks", r->study->attacks);
    }
}

// ---- digest: every text with its length, so that no two lists of fields are the same bytes

static void hash_text(lti_hash *h, const char *text)
{
    const uint64_t n = text ? strlen(text) + 1 : 0; // NULL and "" differ
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(n >> (8 * i));
    lti_hash_add(h, length, sizeof length);
    if (n)
        lti_hash_add(h, text, n);
}

static void make_digest(lti_study_identity *id)
{
    lti_hash h;
    lti_hash_init(&h);
    hash_text(&h, "lethe study job 1"); // a number up when the meaning of fields changes
    hash_text(&h, id->verb);
    hash_text(&h, id->action);
    for (int i = 0; i < id->n; i++) {
        hash_text(&h, id->field[i].key);
        hash_text(&h, id->field[i].value);
        hash_text(&h, id->field[i].job);
        hash_text(&h, id->field[i].suffix);
    }
    lti_hash_hex(&h, id->digest);
}

lt_status lti_study_identify(const lt_study_runner *r, const lti_study_job *j, lti_study_identity *id)
{
    lti_study_identity_clear(id);
    switch (j->kind) {
    case LT_STUDY_BASE:
        identify_base(r, j, id);
        break;
    case LT_STUDY_ORACLE:
        identify_unlearning(r, j, "retrain", id);
        break;
    case LT_STUDY_REFERENCES:
        identify_references(r, "train", id);
        break;
    case LT_STUDY_OUTPUTS:
        identify_outputs(r, j, id);
        break;
    case LT_STUDY_TRIAL:
        identify_method(r, j, j->point, id);
        break;
    case LT_STUDY_RUN:
        identify_method(r, j, r->chosen[j->method * LT_N_ACCESS + j->access], id);
        break;
    default:
        identify_audit(r, j, id);
    }
    if (id->failed)
        return LTI_NOMEM(j->id);
    make_digest(id);
    return LT_OK;
}

void lti_study_identity_clear(lti_study_identity *id)
{
    lti_arena_clear(&id->arena);
    *id = (lti_study_identity){0};
}

// ---- the command

// Options that have another name now. Keys do not change: that would make every job of every study again.
static const struct {
    const char *key, *option; // option NULL = positional
} renamed[] = {
    {"also", NULL},
    {"keep-seed", "inclusion-seed"},
    {"like", "samples-from"},
    {"retain", "use-retain-data"},
    {"no-retain", "no-use-retain-data"},
};

static const char *option_name(const char *key)
{
    for (size_t i = 0; key && i < sizeof renamed / sizeof *renamed; i++)
        if (!strcmp(renamed[i].key, key))
            return renamed[i].option;
    return key;
}

static const char *field_arg(const lti_study_field *f, const char *option, const char *out, lti_arena *arena)
{
    const char *dashes = option ? "--" : "", *name = option ? option : "",
               *equals = option && (f->job || f->value) ? "=" : "";
    char *text = f->job ? lti_asprintf("%s%s%s%s/%s%s", dashes, name, equals, out, f->job, f->suffix)
                        : lti_asprintf("%s%s%s%s", dashes, name, equals, f->value ? f->value : "");
    const char *kept = text ? lti_arena_strdup(arena, text) : NULL;
    lti_free(text);
    return kept;
}

typedef struct command_form {
    const char *out;
    const char *const *extra; // arguments after it, or NULL
    bool old_names;
} command_form;

static lt_status make_command(const lti_study_identity *id, const command_form *form, lti_arena *arena,
                              const char *const **args)
{
    int n_extra = 0, n = 0;
    while (form->extra && form->extra[n_extra])
        n_extra++;
    const char **list = lti_arena_alloc(arena, (size_t)(id->n + n_extra + 3) * sizeof *list);
    if (!list)
        return LTI_NOMEM("command of a job");
    list[n++] = id->verb;
    if (id->action)
        list[n++] = id->action;
    for (int i = 0; i < id->n; i++) {
        const char *key = id->field[i].key;
        list[n] = field_arg(&id->field[i], form->old_names ? key : option_name(key), form->out, arena);
        if (!list[n++])
            return LTI_NOMEM("command of a job");
    }
    for (int i = 0; i < n_extra; i++)
        list[n++] = form->extra[i];
    *args = list;
    return LT_OK;
}

lt_status lti_study_command(const lti_study_identity *id, const char *out, const char *const *extra, lti_arena *arena,
                            const char *const **args)
{
    return make_command(id, &(command_form){.out = out, .extra = extra}, arena, args);
}

lt_status lti_study_old_command(const lti_study_identity *id, const char *out, lti_arena *arena,
                                const char *const **args)
{
    return make_command(id, &(command_form){.out = out, .old_names = true}, arena, args);
}
