// torchfile.c - PyTorch checkpoints: the zip archives of today and the plain streams of PyTorch before 1.6.
//
// A zip holds NAME/data.pkl, which describes tensors, and one stored member NAME/data/KEY for each storage. A plain
// stream is five pickles (magic number, version, system, the object, the list of storage keys) followed by the
// storages. Both are read by the restricted unpickler: see pickle_impl.h. Only the tensors of one state_dict are
// returned; an optimizer's state next to it is skipped without being read.
#include "io/pickle_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum {
    DEPTH_MAX = 4,
    PICKLE_MAX = 64 << 20,
    MEMBERS_MAX = 1 << 20,
    NAME_ROOM = 512,
    SCALARS_MAX = 64,
    TENSORS_MAX = 1 << 14, // storages are found by walking a list
    VISITS_MAX = 1 << 20,  // values visited below the root; they may refer to one another in circles
};
#define BUDGET_LEAST ((size_t)16 << 20) // descriptions of small files

typedef struct raw_storage { // the bytes of a storage, while tensors still need them
    const char *key;
    size_t key_bytes;
    const lti_raw_type *type;
    unsigned char *bytes; // own, or into the file
    size_t n_bytes;
    bool own;
    int n_users;
} raw_storage;

typedef struct torch_reader {
    lti_pickle pickle;
    const char *label;
    const lti_pickle_value *root, *dict; // dict: the chosen state_dict
    char path[NAME_ROOM];                // of it within the root: "net" or ""
    raw_storage *storage;
    size_t n_storages;
    size_t left; // bytes of elements, as the file holds them, that tensors may still take
    int n_visits;
    zip_t *zip;
    const char *prefix; // of the archive's members
    lt_tensor_file *file;
} torch_reader;

// ---- which dictionary holds the weights

static const char *const wrappers[] = {"state_dict", "model_state_dict", "net",    "model",
                                       "network",    "module",           "weights"};

static size_t count_tensors(const lti_pickle_value *dict)
{
    size_t n = 0;
    for (size_t i = 0; dict->kind == LTI_PICKLE_DICT && i + 1 < dict->as.list.n; i += 2)
        n += dict->as.list.item[i]->kind == LTI_PICKLE_TEXT && dict->as.list.item[i + 1]->kind == LTI_PICKLE_TENSOR;
    return n;
}

static void enter_dict(torch_reader *r, const char *key, size_t n, const lti_pickle_value *dict)
{
    const size_t used = strlen(r->path);
    snprintf(r->path + used, sizeof r->path - used, "%s%.*s", used ? "." : "", (int)(n < 100 ? n : 100), key);
    r->dict = dict;
}

// The only child of `dict` that has tensors.
static bool enter_only_child(torch_reader *r, const lti_pickle_value *dict)
{
    const lti_pickle_value *key = NULL, *child = NULL;
    for (size_t i = 0; i + 1 < dict->as.list.n; i += 2) {
        const lti_pickle_value *k = dict->as.list.item[i], *v = dict->as.list.item[i + 1];
        if (k->kind != LTI_PICKLE_TEXT || !count_tensors(v))
            continue;
        if (child)
            return false;
        key = k;
        child = v;
    }
    if (child)
        enter_dict(r, key->as.text.s, key->as.text.n, child);
    return child != NULL;
}

static lt_status choose_state_dict(torch_reader *r)
{
    r->dict = r->root;
    for (int depth = 0; depth < DEPTH_MAX && r->dict->kind == LTI_PICKLE_DICT; depth++) {
        bool entered = false;
        for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers && !entered; i++) {
            const lti_pickle_value *child = lti_pickle_find(r->dict, wrappers[i]);
            if (child && child->kind == LTI_PICKLE_DICT && child->as.list.n) {
                enter_dict(r, wrappers[i], strlen(wrappers[i]), child);
                entered = true;
            }
        }
        if (!entered && count_tensors(r->dict))
            return LT_OK;
        if (!entered && !enter_only_child(r, r->dict))
            break;
    }
    if (r->dict->kind == LTI_PICKLE_DICT && count_tensors(r->dict))
        return LT_OK;
    LT_FAIL(LT_E_FORMAT, "%s: expected a dictionary of tensors (a state_dict), found %s", r->label,
            r->root->kind == LTI_PICKLE_DICT ? "a dictionary without one" : "another object");
    return lt_error_hint("save model.state_dict(), alone or under the key 'state_dict', 'net' or 'model'");
}

// ---- storages

static raw_storage *find_storage(torch_reader *r, const lti_pickle_storage *s)
{
    for (size_t i = 0; i < r->n_storages; i++)
        if (r->storage[i].key_bytes == s->key_bytes && !memcmp(r->storage[i].key, s->key, s->key_bytes))
            return &r->storage[i];
    return NULL;
}

static lt_status note_storage(torch_reader *r, const lti_pickle_storage *s, const char *tensor)
{
    size_t bytes;
    if (lti_mul_size((size_t)s->n_elements, s->type->size, &bytes))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected a size that fits in memory, found an overflow", r->label,
                       tensor);
    raw_storage *have = find_storage(r, s);
    if (have && (have->n_bytes != bytes || have->type != s->type))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected one type and size of storage %.*s, found two", r->label,
                       tensor, (int)(s->key_bytes < 40 ? s->key_bytes : 40), s->key);
    if (!have) {
        have = &r->storage[r->n_storages++];
        *have = (raw_storage){.key = s->key, .key_bytes = s->key_bytes, .type = s->type, .n_bytes = bytes};
    }
    have->n_users++;
    return LT_OK;
}

static lt_status fail_member(const torch_reader *r, const char *name, const char *found)
{
    return LT_FAIL(LT_E_FORMAT, "%s: %s: expected an intact member as torch.save writes it, found %s", r->label, name,
                   found);
}

// A stored member of exactly n_bytes, whole, with its checksum compared.
static lt_status read_member(const torch_reader *r, const char *name, size_t n_bytes, unsigned char *bytes)
{
    zip_stat_t st;
    const zip_int64_t i = zip_name_locate(r->zip, name, 0);
    if (i < 0 || zip_stat_index(r->zip, (zip_uint64_t)i, 0, &st) != 0)
        return fail_member(r, name, "none");
    if (!(st.valid & ZIP_STAT_COMP_METHOD) || st.comp_method != ZIP_CM_STORE)
        return fail_member(r, name, "a compressed one");
    if (!(st.valid & ZIP_STAT_SIZE) || st.size != n_bytes)
        return fail_member(r, name, "another size");
    zip_file_t *member = zip_fopen_index(r->zip, (zip_uint64_t)i, 0);
    if (!member)
        return fail_member(r, name, zip_strerror(r->zip));
    size_t at = 0;
    char extra;
    for (zip_int64_t got = 1; at < n_bytes && got > 0; at += got > 0 ? (size_t)got : 0)
        got = zip_fread(member, bytes + at, n_bytes - at);
    const bool whole = at == n_bytes && zip_fread(member, &extra, 1) == 0; // the end, where the checksum is compared
    lt_status status = whole ? LT_OK : fail_member(r, name, zip_file_strerror(member));
    zip_fclose(member);
    return status;
}

static lt_status load_storage(torch_reader *r, raw_storage *s)
{
    char name[NAME_ROOM];
    if (s->bytes || !r->zip)
        return LT_OK;
    if (s->key_bytes > 64)
        return LT_FAIL(LT_E_FORMAT, "%s: expected short names of storages, found one of %zu bytes", r->label,
                       s->key_bytes);
    snprintf(name, sizeof name, "%s/data/%.*s", r->prefix, (int)s->key_bytes, s->key);
    // The member is known to be that large before memory is spent on it.
    zip_stat_t st;
    if (zip_stat(r->zip, name, 0, &st) != 0 || !(st.valid & ZIP_STAT_SIZE) || st.size != s->n_bytes)
        return fail_member(r, name, "none of the size that data.pkl gives");
    if (!(st.valid & ZIP_STAT_COMP_METHOD) || st.comp_method != ZIP_CM_STORE)
        return fail_member(r, name, "a compressed one");
    s->bytes = lti_malloc(s->n_bytes + 1);
    s->own = true;
    return s->bytes ? read_member(r, name, s->n_bytes, s->bytes) : LTI_NOMEM(name);
}

static void release_storage(raw_storage *s)
{
    if (--s->n_users == 0 && s->own) {
        lti_free(s->bytes);
        s->bytes = NULL;
        s->own = false;
    }
}

// ---- tensors

typedef struct element_walk { // through a tensor in row-major order, whatever its strides
    const lti_pickle_tensor *t;
    int64_t at[LT_FILE_MAX_DIMS], offset;
} element_walk;

// The next n elements: counts through the target in order and keeps the source offset alongside.
static void gather_elements(element_walk *w, size_t size, const unsigned char *from, size_t n, unsigned char *to)
{
    const lti_pickle_tensor *t = w->t;
    for (size_t i = 0; i < n; i++, to += size) {
        memcpy(to, from + (size_t)w->offset * size, size);
        for (int d = t->n_dims - 1; d >= 0; d--) {
            w->offset += t->stride[d];
            if (++w->at[d] < t->dim[d])
                break;
            w->offset -= t->stride[d] * t->dim[d];
            w->at[d] = 0;
        }
    }
}

// In pieces: a second copy of the tensor would be memory beyond twice the file.
static lt_status convert_strided(const torch_reader *r, const char *name, const lti_pickle_tensor *t,
                                 const unsigned char *from, size_t n, void *to)
{
    enum { PIECE = 512, ELEMENT_MAX = 8 };
    const lti_raw_type *type = t->storage->type;
    unsigned char piece[PIECE * ELEMENT_MAX];
    element_walk walk = {.t = t, .offset = t->offset};
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t k = n - i < PIECE ? n - i : PIECE;
        gather_elements(&walk, type->size, from, k, piece);
        LT_TRY(lti_raw_convert(type, piece, k, (char *)to + i * type->memory_size, r->label, name));
    }
    return LT_OK;
}

static bool is_contiguous(const lti_pickle_tensor *t)
{
    int64_t expected = 1;
    for (int d = t->n_dims - 1; d >= 0; expected *= t->dim[d--])
        if (t->dim[d] != 1 && t->stride[d] != expected)
            return false;
    return true;
}

static lt_status add_tensor(torch_reader *r, const char *name, const lti_pickle_tensor *t)
{
    const lti_raw_type *type = t->storage->type;
    raw_storage *s = find_storage(r, t->storage);
    size_t n, bytes, memory;
    lt_tensor *out;
    if (lti_dims_product(t->n_dims, t->dim, &n) || lti_mul_size(n, type->memory_size, &memory) ||
        lti_mul_size(n, type->size, &bytes) || bytes > r->left)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected tensors no larger than the file, found more", r->label,
                       name);
    r->left -= bytes;
    LT_TRY(load_storage(r, s));
    LT_TRY(lti_tensor_file_add(r->file, name, type, t->n_dims, t->dim, n, &out));
    if (!n)
        return LT_OK;
    if (is_contiguous(t))
        return lti_raw_convert(type, s->bytes + (size_t)t->offset * type->size, n, out->data, r->label, name);
    return convert_strided(r, name, t, s->bytes, n, out->data);
}

static lt_status copy_name(const torch_reader *r, const lti_pickle_value *key, char name[NAME_ROOM])
{
    if (key->kind != LTI_PICKLE_TEXT || key->as.text.n >= NAME_ROOM || memchr(key->as.text.s, 0, key->as.text.n))
        return LT_FAIL(LT_E_FORMAT, "%s: state_dict: expected names of tensors, found another key", r->label);
    memcpy(name, key->as.text.s, key->as.text.n);
    name[key->as.text.n] = 0;
    return LT_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static lt_status check_unique(const torch_reader *r)
{
    const size_t n = (size_t)r->file->n_tensors;
    const char **name = lti_malloc((n + 1) * sizeof *name);
    if (!name)
        return LTI_NOMEM(r->label);
    for (size_t i = 0; i < n; i++)
        name[i] = r->file->tensor[i].name;
    qsort(name, n, sizeof *name, compare_texts);
    lt_status status = LT_OK;
    for (size_t i = 1; i < n && status == LT_OK; i++)
        if (!strcmp(name[i - 1], name[i]))
            status = LT_FAIL(LT_E_FORMAT, "%s: expected each tensor once, found '%.200s' twice", r->label, name[i]);
    lti_free(name);
    return status;
}

// Anything in the state_dict that is not a tensor is passed over, as PyTorch's _extra_state is.
static lt_status list_storages(torch_reader *r)
{
    const lti_pickle_value *d = r->dict;
    char name[NAME_ROOM];
    if (count_tensors(d) > TENSORS_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected at most %d tensors, found %zu", r->label, TENSORS_MAX,
                       count_tensors(d));
    r->storage = lti_calloc(count_tensors(d) + 1, sizeof *r->storage);
    if (!r->storage)
        return LTI_NOMEM(r->label);
    for (size_t i = 0; i + 1 < d->as.list.n; i += 2)
        if (d->as.list.item[i + 1]->kind == LTI_PICKLE_TENSOR) {
            LT_TRY(copy_name(r, d->as.list.item[i], name));
            LT_TRY(note_storage(r, d->as.list.item[i + 1]->as.tensor->storage, name));
        }
    return LT_OK;
}

static lt_status fill_tensors(torch_reader *r)
{
    const lti_pickle_value *d = r->dict;
    char name[NAME_ROOM];
    for (size_t i = 0; i + 1 < d->as.list.n; i += 2) {
        if (d->as.list.item[i + 1]->kind != LTI_PICKLE_TENSOR)
            continue;
        const lti_pickle_tensor *t = d->as.list.item[i + 1]->as.tensor;
        LT_TRY(copy_name(r, d->as.list.item[i], name));
        LT_TRY(add_tensor(r, name, t));
        release_storage(find_storage(r, t->storage));
    }
    return check_unique(r);
}

// ---- metadata: where the weights stood, and the plain values next to them ("epoch", "acc")

static lt_status add_meta(torch_reader *r, const char *key, const char *value)
{
    lt_meta m = {lti_arena_strdup(&r->file->arena, key), lti_arena_strdup(&r->file->arena, value)};
    if (!m.key || !m.value)
        return LTI_NOMEM(r->label);
    r->file->meta[r->file->n_meta++] = m;
    return LT_OK;
}

static lt_status add_scalars(torch_reader *r)
{
    const lti_pickle_value *d = r->root;
    for (size_t i = 0; i + 1 < d->as.list.n && r->file->n_meta < SCALARS_MAX; i += 2) {
        const lti_pickle_value *key = d->as.list.item[i], *v = d->as.list.item[i + 1];
        char name[96], value[160] = "";
        if (key->kind != LTI_PICKLE_TEXT || key->as.text.n > 64 || memchr(key->as.text.s, 0, key->as.text.n))
            continue;
        snprintf(name, sizeof name, "torch.%.*s", (int)key->as.text.n, key->as.text.s);
        if (v->kind == LTI_PICKLE_INT)
            snprintf(value, sizeof value, "%lld", (long long)v->as.i);
        else if (v->kind == LTI_PICKLE_FLOAT)
            snprintf(value, sizeof value, "%.9g", v->as.f);
        else if (v->kind == LTI_PICKLE_TEXT && v->as.text.n < 100 && !memchr(v->as.text.s, 0, v->as.text.n))
            snprintf(value, sizeof value, "%.*s", (int)v->as.text.n, v->as.text.s);
        if (value[0] && !lt_tensor_file_meta(r->file, name))
            LT_TRY(add_meta(r, name, value));
    }
    return LT_OK;
}

static lt_status start_file(torch_reader *r)
{
    r->left = r->pickle.budget; // what the description has left
    LT_TRY(choose_state_dict(r));
    LT_TRY(list_storages(r));
    LT_TRY(lti_tensor_file_new(count_tensors(r->dict), SCALARS_MAX + 1, &r->file));
    if (r->path[0])
        LT_TRY(add_meta(r, "torch.state_dict", r->path));
    return add_scalars(r);
}

static void close_reader(torch_reader *r)
{
    for (size_t i = 0; i < r->n_storages; i++)
        if (r->storage[i].own)
            lti_free(r->storage[i].bytes);
    lti_free(r->storage);
    lti_arena_clear(&r->pickle.arena);
    lt_tensor_file_close(r->file);
}

// The file's bytes once, and its description and tensors together once more: no file takes more memory than twice its
// size, and a few MiB. Numbers of half precision, which become floats, count as they stand in the file.
static torch_reader start_reader(const char *label, size_t n_bytes)
{
    return (torch_reader){.label = label, .pickle = {.budget = n_bytes + BUDGET_LEAST, .label = label}};
}

// ---- the plain stream

enum { N_PICKLES = 5, PICKLE_OBJECT = 3, PICKLE_KEYS = 4 };
static const unsigned char magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c,
                                      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

bool lti_torch_stream(const void *head, size_t n)
{
    return n >= sizeof magic && !memcmp(head, magic, sizeof magic);
}

static lt_status find_stream_storages(torch_reader *r, const lti_pickle_value *keys, unsigned char *bytes, size_t n)
{
    size_t at = 0;
    if (keys->kind != LTI_PICKLE_LIST)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a list of storages, found another value", r->label);
    // Sizes of storages that no tensor of the state_dict uses (an optimizer's) stand only in the stream, in elements:
    // their element type must be known to step over them, so every storage that the object names is looked up.
    for (size_t i = 0; i < keys->as.list.n; i++) {
        const lti_pickle_value *key = keys->as.list.item[i];
        uint64_t count;
        if (key->kind != LTI_PICKLE_TEXT)
            return LT_FAIL(LT_E_FORMAT, "%s: expected keys of storages, found another value", r->label);
        if (n - at < sizeof count)
            return LT_FAIL(LT_E_FORMAT, "%s: expected %zu storages, found the end of the file after %zu", r->label,
                           keys->as.list.n, i);
        memcpy(&count, bytes + at, sizeof count);
        at += sizeof count;
        const lti_pickle_storage named = {.key = key->as.text.s, .key_bytes = key->as.text.n};
        raw_storage *s = find_storage(r, &named);
        size_t size = 0;
        if (!s)
            return LT_FAIL(LT_E_FORMAT, "%s: storage %.*s: expected one that a tensor uses, found another", r->label,
                           (int)(named.key_bytes < 40 ? named.key_bytes : 40), named.key);
        if (lti_mul_size((size_t)count, s->type->size, &size) || size > n - at || size < s->n_bytes)
            return LT_FAIL(LT_E_FORMAT,
                           "%s: storage %.*s: expected %zu bytes, found the end of the file or another "
                           "length",
                           r->label, (int)(s->key_bytes < 40 ? s->key_bytes : 40), s->key, s->n_bytes);
        s->bytes = bytes + at;
        at += size;
    }
    for (size_t i = 0; i < r->n_storages; i++)
        if (!r->storage[i].bytes)
            return LT_FAIL(LT_E_FORMAT, "%s: storage %.*s is missing", r->label,
                           (int)(r->storage[i].key_bytes < 40 ? r->storage[i].key_bytes : 40), r->storage[i].key);
    return LT_OK;
}

// Every storage below a value, so that the stream can be stepped through. Tensors of the state_dict came first.
static lt_status note_all_storages(torch_reader *r, const lti_pickle_value *v, int depth, size_t *room)
{
    if (r->n_visits++ > VISITS_MAX || r->n_storages > 2 * TENSORS_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a plain list of tensors, found too many values", r->label);
    if (v->kind == LTI_PICKLE_TENSOR && !find_storage(r, v->as.tensor->storage)) {
        if (r->n_storages == *room) {
            raw_storage *grown = lti_calloc(2 * *room + 16, sizeof *grown);
            if (!grown)
                return LTI_NOMEM(r->label);
            memcpy(grown, r->storage, r->n_storages * sizeof *grown);
            lti_free(r->storage);
            r->storage = grown;
            *room = 2 * *room + 16;
        }
        return note_storage(r, v->as.tensor->storage, "next to the state_dict");
    }
    if (depth >= 2 * DEPTH_MAX || (v->kind != LTI_PICKLE_DICT && v->kind != LTI_PICKLE_LIST))
        return LT_OK;
    for (size_t i = 0; i < v->as.list.n; i++)
        LT_TRY(note_all_storages(r, v->as.list.item[i], depth + 1, room));
    return LT_OK;
}

static lt_status read_stream(torch_reader *r, unsigned char *bytes, size_t n)
{
    lti_pickle_value *value[N_PICKLES];
    size_t at = 0, used;
    for (int i = 0; i < N_PICKLES; i++, at += used)
        LT_TRY(lti_pickle_parse(&r->pickle, bytes + at, n - at, &used, &value[i]));
    const lti_pickle_value *little = lti_pickle_find(value[2], "little_endian");
    if (little && little->kind == LTI_PICKLE_BOOL && !little->as.i)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: expected little-endian numbers, found big-endian ones", r->label);
    r->root = value[PICKLE_OBJECT];
    LT_TRY(start_file(r));
    size_t room = count_tensors(r->dict) + 1;
    LT_TRY(note_all_storages(r, r->root, 0, &room));
    LT_TRY(find_stream_storages(r, value[PICKLE_KEYS], bytes + at, n - at));
    return fill_tensors(r);
}

lt_status lt_torch_stream_parse(const void *bytes, size_t n, const char *label, lt_tensor_file **file)
{
    *file = NULL;
    torch_reader r = start_reader(label, n);
    lt_status status = read_stream(&r, (unsigned char *)bytes, n); // only read
    if (status == LT_OK) {
        *file = r.file;
        r.file = NULL;
    }
    close_reader(&r);
    return status;
}

// ---- the zip archive

// "NAME" where NAME/data.pkl is a member; false when there is none.
bool lti_torch_zip_prefix(zip_t *zip, char *prefix, size_t size)
{
    const zip_int64_t n = zip_get_num_entries(zip, 0);
    for (zip_int64_t i = 0; i < n && i < MEMBERS_MAX; i++) {
        const char *name = zip_get_name(zip, (zip_uint64_t)i, 0);
        const size_t length = name ? strlen(name) : 0;
        if (length > 9 && length - 9 < size && !strcmp(name + length - 9, "/data.pkl")) {
            memcpy(prefix, name, length - 9);
            prefix[length - 9] = 0;
            return true;
        }
    }
    return false;
}

static lt_status read_pickle_member(torch_reader *r, unsigned char **bytes, size_t *n)
{
    char name[NAME_ROOM];
    zip_stat_t st;
    snprintf(name, sizeof name, "%s/data.pkl", r->prefix);
    if (zip_stat(r->zip, name, 0, &st) != 0 || !(st.valid & ZIP_STAT_SIZE))
        return fail_member(r, name, "none");
    if (st.size > PICKLE_MAX)
        return fail_member(r, name, "one of more than 64 MiB");
    if (!(st.valid & ZIP_STAT_COMP_METHOD) || st.comp_method != ZIP_CM_STORE)
        return fail_member(r, name, "a compressed one");
    *n = (size_t)st.size;
    *bytes = lti_malloc(*n + 1);
    return *bytes ? read_member(r, name, *n, *bytes) : LTI_NOMEM(name);
}

static lt_status check_byte_order(const torch_reader *r)
{
    char name[NAME_ROOM];
    unsigned char order[8];
    zip_stat_t st;
    snprintf(name, sizeof name, "%s/byteorder", r->prefix);
    if (zip_stat(r->zip, name, 0, &st) != 0) // absent before PyTorch 2.1
        return LT_OK;
    if (st.size != 6)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: expected little-endian numbers, found others", r->label);
    LT_TRY(read_member(r, name, 6, order));
    return !memcmp(order, "little", 6)
               ? LT_OK
               : LT_FAIL(LT_E_UNSUPPORTED, "%s: expected little-endian numbers, found others", r->label);
}

lt_status lti_torch_zip_read(zip_t *zip, const char *prefix, size_t file_bytes, const char *label,
                             lt_tensor_file **file)
{
    torch_reader r = start_reader(label, file_bytes);
    unsigned char *pickle = NULL;
    lti_pickle_value *root;
    size_t n = 0, used;
    lt_status status;
    r.zip = zip;
    r.prefix = prefix;
    LT_TRY_GOTO(check_byte_order(&r), done);
    LT_TRY_GOTO(read_pickle_member(&r, &pickle, &n), done);
    LT_TRY_GOTO(lti_pickle_parse(&r.pickle, pickle, n, &used, &root), done);
    r.root = root;
    LT_TRY_GOTO(start_file(&r), done);
    LT_TRY_GOTO(fill_tensors(&r), done);
    *file = r.file;
    r.file = NULL;
done:
    close_reader(&r);
    lti_free(pickle);
    return status;
}
