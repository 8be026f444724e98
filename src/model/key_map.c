// key_map.c - see key_map.h.
#include "model/key_map.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const prefixes[] = {"module.", "_orig_mod.", "model.", "net.", "network.", "backbone."};
static const char *const normalizers[] = {"normalize.", "normalizer.", "norm_layer.", "normalization."};

static const char *without_normalizer(const char *name)
{
    for (size_t i = 0; i < sizeof normalizers / sizeof *normalizers; i++)
        if (!strncmp(name, normalizers[i], strlen(normalizers[i])))
            return name + strlen(normalizers[i]);
    return NULL;
}

static bool all_start_with(const lti_key_map *map, const char *prefix)
{
    for (int i = 0; i < map->n; i++)
        if (strncmp(map->key[i].name, prefix, strlen(prefix)) != 0)
            return false;
    return map->n > 0;
}

static void strip_prefixes(lti_key_map *map)
{
    for (bool stripped = true; stripped;) {
        stripped = false;
        for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++)
            if (all_start_with(map, prefixes[p])) {
                for (int i = 0; i < map->n; i++)
                    map->key[i].name += strlen(prefixes[p]);
                stripped = true;
            }
    }
}

// Mean and deviation of a normalisation layer leave the list.
static void take_normalizer(lti_key_map *map)
{
    int n = 0;
    for (int i = 0; i < map->n; i++) {
        const char *leaf = without_normalizer(map->key[i].name);
        if (leaf && !strcmp(leaf, "mean"))
            map->mean = map->key[i].tensor;
        else if (leaf && (!strcmp(leaf, "std") || !strcmp(leaf, "sd")))
            map->std = map->key[i].tensor;
        else
            map->key[n++] = map->key[i];
    }
    map->n = n;
}

bool lti_is_power_iterate(const char *name)
{
    static const char suffix[] = ".weight_VT";
    const size_t n = strlen(name), k = sizeof suffix - 1;
    return n > k && !strcmp(name + n - k, suffix);
}

static void drop_power_iterates(lti_key_map *map)
{
    int n = 0;
    for (int i = 0; i < map->n; i++)
        if (!lti_is_power_iterate(map->key[i].name))
            map->key[n++] = map->key[i];
    map->n = n;
}

// `from` replaced by `to` wherever it starts a part of the name; the name itself when it stands nowhere.
static const char *apply_rule(lti_arena *arena, const char *name, const lti_key_rule *rule)
{
    const size_t n = strlen(rule->from);
    for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
        if (strncmp(at, rule->from, n) != 0)
            continue;
        const size_t size = strlen(name) + strlen(rule->to) + 1;
        char *renamed = lti_arena_alloc(arena, size);
        if (renamed)
            snprintf(renamed, size, "%.*s%s%s", (int)(at - name), name, rule->to, at + n);
        return renamed;
    }
    return name;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const lti_key *)a)->name, ((const lti_key *)b)->name);
}

static lt_status sort_keys(const char *path, lti_key_map *map)
{
    qsort(map->key, (size_t)map->n, sizeof *map->key, compare_keys);
    for (int i = 1; i < map->n; i++)
        if (!compare_keys(&map->key[i - 1], &map->key[i]))
            return LT_FAIL(LT_E_FORMAT, "%s: tensors %s and %s: expected one tensor for %s, found two", path,
                           map->key[i - 1].tensor->name, map->key[i].tensor->name, map->key[i].name);
    return LT_OK;
}

lt_status lti_key_map_create(const char *path, const lt_tensor_file *file, const lti_arch *arch, lti_key_map *map)
{
    *map = (lti_key_map){0};
    map->n = lt_tensor_file_count(file);
    map->key = lti_arena_alloc(&map->arena, ((size_t)map->n + 1) * sizeof *map->key);
    if (!map->key)
        return LTI_NOMEM(path);
    for (int i = 0; i < map->n; i++) {
        const lt_tensor *t = lt_tensor_file_at(file, i);
        map->key[i] = (lti_key){t->name, t};
    }
    drop_power_iterates(map);
    strip_prefixes(map);
    take_normalizer(map);
    strip_prefixes(map); // a wrapper of normalisation and network: "normalize.mean", "model.conv1.weight"
    for (int i = 0; i < map->n; i++)
        for (const lti_key_rule *rule = arch->rules; rule && rule->from; rule++) {
            const char *before = map->key[i].name;
            if (!(map->key[i].name = apply_rule(&map->arena, before, rule)))
                return LTI_NOMEM(path);
            if (map->key[i].name != before && rule->implies)
                map->implied = rule->implies;
        }
    return sort_keys(path, map);
}

void lti_key_map_clear(lti_key_map *map)
{
    lti_arena_clear(&map->arena);
    *map = (lti_key_map){0};
}

const lt_tensor *lti_key_map_find(const lti_key_map *map, const char *name)
{
    const lti_key wanted = {.name = name};
    const lti_key *found = map->n ? bsearch(&wanted, map->key, (size_t)map->n, sizeof wanted, compare_keys) : NULL;
    return found ? found->tensor : NULL;
}

// ---- which architecture a file holds

static bool fits_arch(const lti_key_map *map, const lti_key_fit *fit)
{
    const lt_tensor *stem = lti_key_map_find(map, fit->stem);
    return stem && stem->n_dims == 4 && stem->dim[2] == fit->kernel && stem->dim[0] > 0 && stem->dim[0] <= 1024 &&
           lti_key_map_find(map, fit->has) && !lti_key_map_find(map, fit->lacks);
}

static bool has_option(const lti_arch *arch, const char *name)
{
    for (const lt_option *o = arch->opts; o->name; o++)
        if (!strcmp(o->name, name))
            return true;
    return false;
}

bool lti_guess_spec(const char *path, const lt_tensor_file *file, char *spec, size_t size)
{
    int n;
    const lt_arch *archs = lt_model_archs(&n);
    for (int i = 0; i < n; i++) {
        const lti_arch *arch = lti_arch_at(i);
        lti_key_map map;
        if (!arch->fit)
            continue;
        bool fits = false;
        if (lti_key_map_create(path, file, arch, &map) == LT_OK && (fits = fits_arch(&map, arch->fit))) {
            const lt_tensor *stem = lti_key_map_find(&map, arch->fit->stem);
            const bool bn = lti_key_map_find(&map, "bn1.weight") || !has_option(arch, "bn");
            snprintf(spec, size, "%s:width=%lld%s%s%s", archs[i].name, (long long)stem->dim[0], bn ? "" : ",bn=0",
                     map.implied ? "," : "", map.implied ? map.implied : "");
        }
        lti_key_map_clear(&map);
        if (fits)
            return true;
    }
    return false;
}
