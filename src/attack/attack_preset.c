// attack_preset.c - settings that published figures rest on, by name. [ATT 34]
//
// A preset is values of options below everything that a user gives: it goes through the option set, which keeps what a
// flag, a file or the environment said.
#include "attack/attack_impl.h"
#include "lethe/robust.h"
#include <string.h>

enum { MAX_VALUES = 8, MAX_FORMS = 3 };

typedef struct value {
    const char *key, *text;
} value;
typedef struct form { // what a preset says of some attacks
    const char *attacks[4];
    value value[MAX_VALUES];
} form;
typedef struct preset {
    const char *name, *title;
    form form[MAX_FORMS];
} preset;

static const preset table[] = {
    {"madry",
     "Madry et al. 2018 on CIFAR-10: L-infinity, radius 8/255; bim, pgd: 20 steps of 2/255",
     {{{"fgsm"}, {{"norm", "linf"}, {"eps", "8/255"}}},
      {{"bim", "pgd"}, {{"norm", "linf"}, {"eps", "8/255"}, {"steps", "20"}, {"step-size", "0.00784313725490196"}}}}},
    {"lotos",
     "the scripts of LOTOS: 50 steps of a tenth of the radius 0.04 of normalised images; cw: one weight 0.1",
     {{{"bim", "pgd", "mi-fgsm"},
       {{"norm", "linf"}, {"eps", "0.04"}, {"steps", "50"}, {"step-ratio", "0.1"}, {"legacy-normalized", "1"}}},
      {{"cw"}, {{"norm", "l2"}, {"steps", "1000"}, {"cw.c", "0.1"}, {"cw.kappa", "0.1"}, {"cw.search-steps", "1"}}}}},
    {"fastclip",
     "the scripts of FastClip: 50 steps of a tenth of the radius 0.02 of normalised images; cw: one weight 0.02",
     {{{"pgd"},
       {{"norm", "linf"}, {"eps", "0.02"}, {"steps", "50"}, {"step-ratio", "0.1"}, {"legacy-normalized", "1"}}},
      {{"cw"}, {{"norm", "l2"}, {"steps", "1000"}, {"cw.c", "0.02"}, {"cw.kappa", "0.1"}, {"cw.search-steps", "1"}}}}},
};
enum { N_PRESETS = sizeof table / sizeof *table };

const char *lt_attack_preset_name(int i)
{
    return i >= 0 && i < N_PRESETS ? table[i].name : NULL;
}

const char *lt_attack_preset_title(int i)
{
    return i >= 0 && i < N_PRESETS ? table[i].title : NULL;
}

static const preset *find_preset(const char *name)
{
    for (int i = 0; i < N_PRESETS; i++)
        if (!strcmp(name, table[i].name))
            return &table[i];
    return NULL;
}

static lt_status refuse_preset(const char *name)
{
    const char *names[N_PRESETS + 1] = {NULL};
    for (int i = 0; i < N_PRESETS; i++)
        names[i] = table[i].name;
    (void)LT_FAIL(LT_E_USAGE, "unknown preset '%.60s' of attacks", name);
    return lti_name_hint(name, names);
}

static bool has_attack(const form *f, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof f->attacks / sizeof *f->attacks && f->attacks[i]; i++)
        if (strlen(f->attacks[i]) == n && !strncmp(f->attacks[i], name, n))
            return true;
    return false;
}

static lt_status find_form(const preset *p, const char *name, size_t n, const form **out)
{
    char known[128] = "";
    for (int i = 0; i < MAX_FORMS; i++) {
        if (has_attack(&p->form[i], name, n)) {
            *out = &p->form[i];
            return LT_OK;
        }
        for (int a = 0; a < 4 && p->form[i].attacks[a]; a++) {
            const size_t at = strlen(known);
            lti_format(known + at, sizeof known - at, "%s%s", at ? ", " : "", p->form[i].attacks[a]);
        }
    }
    return LT_FAIL(LT_E_USAGE, "preset %s: expected attacks among %s, found '%.*s'", p->name, known,
                   (int)(n < 60 ? n : 60), name);
}

lt_status lt_attack_preset_apply(const char *name, const char *attacks, lt_optset *set)
{
    const preset *p = find_preset(name);
    const form *f = NULL;
    char origin[64];
    if (!p)
        return refuse_preset(name);
    lti_format(origin, sizeof origin, "preset %s", p->name);
    for (const char *a = attacks; a && *a;) {
        const size_t n = strcspn(a, ",");
        if (n > 0) {
            LT_TRY(find_form(p, a, n, &f));
            for (const value *v = f->value; v < f->value + MAX_VALUES && v->key; v++)
                LT_TRY(lt_optset_set(set, v->key, v->text, origin));
        }
        a += n + (a[n] == ',');
    }
    return LT_OK;
}
