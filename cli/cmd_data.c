// cmd_data.c - `lethe data`: what kinds of data there are, what is in a set, whether it is sound; export and download.
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_NPZ, FORMAT_PNG, FORMAT_CIFAR };
static const lt_opt_value formats[] = {
    {"npz", FORMAT_NPZ, "one file: train_x, train_y, test_x, test_y and official ids"},
    {"png", FORMAT_PNG, "train/CLASS/ID.png and test/CLASS/ID.png"},
    {"cifar", FORMAT_CIFAR, "the binary batches of CIFAR-10 (3x32x32 only)"},
    {NULL, 0, NULL},
};
struct opts {
    const char *out, *digest, *url, *forget;
    float similarity;
    int32_t format;
};
static const lt_option own[] = {
    LT_STR(struct opts, out, NULL, "export: file or directory to write; get: directory to download into"),
    LT_ENUM(struct opts, format, FORMAT_NPZ, formats, "export: layout"),
    LT_STR(struct opts, forget, NULL, "duplicates: samples whose copies are looked for, as in unlearn --forget"),
    LT_F32(struct opts, similarity, LT_NEAR_DUPLICATE_LEAST, 0.5, 1, "", "duplicates: least similarity"),
    LT_STR(struct opts, digest, NULL, "verify: digest the set must have"),
    LT_STR(struct opts, url, NULL,
           "get: download from this folder (https:, http: or file:) instead of the official one"),
    LT_OPT_END,
};
static const cli_group groups[] = {{"", "Details", own, 0, LT_OPTGROUP_FLAGS}, {NULL, NULL, NULL, 0, 0}};

static lt_status open_named(cli_call *call, const lt_dataset **ds)
{
    if (call->n_positional != 2) {
        const lt_status status = LT_FAIL(LT_E_USAGE, "data %s: expected one data set", call->positional[0]);
        lt_error_hint("for example: lethe data %s cifar10:/data/cifar-10-batches-bin", call->positional[0]);
        return status;
    }
    return cli_dataset(call, call->positional[1], ds);
}

// ---- list

// The training samples of one set: what a forget list may name.
static lt_status run_list_samples(cli_call *call)
{
    const lt_dataset *ds;
    char digest[LT_SAMPLE_DIGEST_HEX];
    LT_TRY(cli_dataset(call, call->positional[1], &ds));
    const lt_split_data *d = &ds->split[LT_TRAIN];
    json_t *samples = json_array();
    for (int64_t i = 0; i < d->n; i++) {
        json_t *one = json_object();
        cli_put(one, "index", json_integer(d->id[i]));
        cli_put_text(one, "class", ds->class_names[d->y[i]]);
        cli_put_text(one, "file", d->name ? d->name[i] : "");
        lt_sample_digest(ds, LT_TRAIN, i, digest);
        cli_put(one, "digest", json_string(digest));
        json_array_append_new(samples, one);
    }
    call->result = json_object();
    cli_put_text(call->result, "data", ds->spec);
    cli_put(call->result, "samples", samples);
    return LT_OK;
}

static lt_status run_list(cli_call *call)
{
    if (call->n_positional == 2)
        return run_list_samples(call);
    if (call->n_positional != 1)
        return LT_FAIL(LT_E_USAGE, "data list: expected at most one data set, found '%s'", call->positional[2]);
    int n;
    const lt_dataset_kind *kind = lt_dataset_kinds(&n);
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *one = json_object();
        cli_put(one, "name", json_string(kind[i].name));
        cli_put(one, "title", json_string(kind[i].title));
        cli_put(one, "keys", json_string(kind[i].keys));
        cli_put(one, "download", json_boolean(lt_can_download(kind[i].name)));
        json_array_append_new(list, one);
    }
    call->result = json_object();
    cli_put(call->result, "kinds", list);
    return LT_OK;
}

// CSV whose columns a forget list may have: lines that are cut out of it are one.
static void print_field(const char *text, FILE *out)
{
    const bool quoted = strpbrk(text, ",\"") != NULL;
    fputs(quoted ? "\"" : "", out);
    for (const char *c = text; *c; c++)
        fprintf(out, "%s%c", quoted && *c == '"' ? "\"" : "", (unsigned char)*c < ' ' || *c == 127 ? '?' : *c);
    fputs(quoted ? "\"" : "", out);
}

static void print_samples(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *one;
    fputs("index,class,file,digest\n", out);
    json_array_foreach(json_object_get(r, "samples"), i, one)
    {
        fprintf(out, "%.0f,", cli_real(one, "index"));
        print_field(cli_text(one, "class"), out);
        fputc(',', out);
        print_field(cli_text(one, "file"), out);
        fprintf(out, ",digest:%s\n", cli_text(one, "digest"));
    }
}

static void print_list(const json_t *r, FILE *out)
{
    if (json_object_get(r, "samples")) {
        print_samples(r, out);
        return;
    }
    cli_table t = {.n_columns = 3, .left = {true, true, true}};
    size_t i;
    const json_t *kind;
    cli_table_row(&t, "kind", "what", "keys");
    json_array_foreach(json_object_get(r, "kinds"), i, kind)
        cli_table_row(&t, cli_text(kind, "name"), cli_text(kind, "title"), cli_text(kind, "keys"));
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fputs("\nWrite KIND[:PATH][,key=value...]. Without PATH a set is looked up under $LETHE_DATA.\n", out);
}

// ---- duplicates

static lt_status put_duplicates(const lt_dataset *ds, const lt_near_duplicates *found, json_t **result)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    json_t *list = json_array();
    for (int64_t i = 0; i < found->n; i++) {
        const lt_near_duplicate *one = &found->item[i];
        json_t *j = json_object();
        cli_put(j, "index", json_integer(d->id[one->row]));
        cli_put_text(j, "file", d->name ? d->name[one->row] : "");
        cli_put(j, "of", json_integer(d->id[one->of_row]));
        cli_put_text(j, "of_file", d->name ? d->name[one->of_row] : "");
        cli_put_real(j, "similarity", (double)one->similarity);
        cli_put(j, "mirrored", json_boolean(one->mirrored));
        json_array_append_new(list, j);
    }
    *result = json_object();
    cli_put_text(*result, "data", ds->spec);
    cli_put(*result, "duplicates", list);
    return LT_OK;
}

static lt_status run_duplicates(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    lt_index_set forget = {0}, kept = {0};
    lt_near_duplicates found = {0};
    lt_status status;
    LT_TRY(open_named(call, &ds));
    if (!o->forget || !*o->forget)
        return LT_FAIL(LT_E_USAGE, "data duplicates: --forget is missing");
    LT_TRY_GOTO(lt_forget_parse(ds, o->forget, 1, &forget), done);
    LT_TRY_GOTO(lt_index_set_complement(ds->split[LT_TRAIN].n, &forget, &kept), done);
    LT_TRY_GOTO(lt_dataset_near_duplicates(ds, &forget, &kept, (double)o->similarity, &found), done);
    LT_TRY_GOTO(put_duplicates(ds, &found, &call->result), done);
done:
    lt_near_duplicates_clear(&found);
    lt_index_set_clear(&forget);
    lt_index_set_clear(&kept);
    return status;
}

static void print_duplicates(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *one;
    fputs("index,file,of,of_file,similarity,mirrored\n", out);
    json_array_foreach(json_object_get(r, "duplicates"), i, one)
    {
        fprintf(out, "%.0f,", cli_real(one, "index"));
        print_field(cli_text(one, "file"), out);
        fprintf(out, ",%.0f,", cli_real(one, "of"));
        print_field(cli_text(one, "of_file"), out);
        fprintf(out, ",%.4f,%s\n", cli_real(one, "similarity"),
                json_is_true(json_object_get(one, "mirrored")) ? "yes" : "no");
    }
}

// ---- info, verify

static json_t *class_counts(const lt_dataset *ds, lt_split split)
{
    const lt_split_data *d = &ds->split[split];
    int64_t *n = cli_alloc((size_t)ds->n_classes, sizeof *n);
    json_t *j = json_object();
    for (int64_t i = 0; i < d->n; i++)
        n[d->y[i]]++;
    for (int k = 0; k < ds->n_classes; k++)
        cli_put(j, ds->class_names[k], json_integer(n[k]));
    free(n);
    return j;
}

static json_t *split_json(const lt_dataset *ds, lt_split split)
{
    const lt_split_data *d = &ds->split[split];
    size_t plane = (size_t)ds->h * (size_t)ds->w;
    json_t *j = json_object(), *mean = json_array(), *std = json_array();
    cli_put(j, "n", json_integer(d->n));
    cli_put(j, "per_class", class_counts(ds, split));
    for (int c = 0; c < ds->c && d->n > 0; c++) {
        double sum = 0, square = 0, count = (double)d->n * (double)plane;
        for (int64_t i = 0; i < d->n; i++) {
            const uint8_t *x = d->x + ((size_t)i * (size_t)ds->c + (size_t)c) * plane;
            for (size_t k = 0; k < plane; k++) {
                double v = x[k] / 255.0;
                sum += v;
                square += v * v;
            }
        }
        json_array_append_new(mean, json_real(sum / count));
        json_array_append_new(std, json_real(sqrt(fmax(0, square / count - sum / count * (sum / count)))));
    }
    cli_put(j, "mean", mean);
    cli_put(j, "std", std);
    return j;
}

static lt_status run_info(cli_call *call)
{
    const lt_dataset *ds;
    LT_TRY(open_named(call, &ds));
    json_t *r = json_object();
    cli_put_text(r, "data", ds->spec);
    cli_put(r, "kind", json_string(ds->kind));
    cli_put(r, "channels", json_integer(ds->c));
    cli_put(r, "height", json_integer(ds->h));
    cli_put(r, "width", json_integer(ds->w));
    cli_put(r, "n_classes", json_integer(ds->n_classes));
    cli_put(r, "train", split_json(ds, LT_TRAIN));
    cli_put(r, "test", split_json(ds, LT_TEST));
    cli_put(r, "digest", json_string(ds->digest));
    call->result = r;
    return LT_OK;
}

static void print_info(const json_t *r, FILE *out)
{
    enum { MANY = 30 };
    json_t *train = json_object_get(json_object_get(r, "train"), "per_class"), *value;
    json_t *test = json_object_get(json_object_get(r, "test"), "per_class");
    const char *name;
    fprintf(out, "%s: %.0f training and %.0f test images, %.0fx%.0fx%.0f, %.0f classes\ndigest %s\n",
            cli_text(r, "data"), cli_real(r, "train.n"), cli_real(r, "test.n"), cli_real(r, "channels"),
            cli_real(r, "height"), cli_real(r, "width"), cli_real(r, "n_classes"), cli_text(r, "digest"));
    if (json_object_size(train) > MANY)
        return;
    cli_table t = {.n_columns = 3, .left = {true}};
    cli_table_row(&t, "class", "train", "test");
    json_object_foreach(train, name, value)
    {
        char *a = cli_format("%lld", (long long)json_integer_value(value));
        char *b = cli_format("%lld", (long long)json_integer_value(json_object_get(test, name)));
        cli_table_row(&t, name, a, b);
        free(a);
        free(b);
    }
    fputc('\n', out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
}

// Opening checks everything a reader can see; what is left is the digest and images that both splits share.
static lt_status run_verify(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    int64_t n_shared;
    LT_TRY(open_named(call, &ds));
    LT_TRY(run_info(call));
    LT_TRY(lt_dataset_shared_images(ds, &n_shared));
    cli_put(call->result, "n_shared_images", json_integer(n_shared));
    if (o->digest && *o->digest && strcmp(o->digest, ds->digest) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected digest %s, found %s", ds->spec, o->digest, ds->digest);
    return LT_OK;
}

static void print_verify(const json_t *r, FILE *out)
{
    fprintf(out, "%s is readable and sound: %.0f training and %.0f test images\ndigest %s\n", cli_text(r, "data"),
            cli_real(r, "train.n"), cli_real(r, "test.n"), cli_text(r, "digest"));
    fprintf(out, "%.0f test images are also in the training split, pixel for pixel\n", cli_real(r, "n_shared_images"));
}

// ---- export

static lt_status export_npz(const lt_dataset *ds, const char *path)
{
    static const char *const names[2][3] = {{"train_x", "train_y", "train_id"}, {"test_x", "test_y", "test_id"}};
    lt_tensor t[6];
    int n = 0;
    for (int s = 0; s < 2; s++) {
        const lt_split_data *d = &ds->split[s];
        size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
        t[n++] = (lt_tensor){.name = names[s][0],
                             .dtype = LT_U8,
                             .n_dims = 4,
                             .dim = {d->n, ds->c, ds->h, ds->w},
                             .data = (void *)d->x,
                             .n_bytes = (size_t)d->n * image};
        t[n++] = (lt_tensor){.name = names[s][1],
                             .dtype = LT_I32,
                             .n_dims = 1,
                             .dim = {d->n},
                             .data = (void *)d->y,
                             .n_bytes = (size_t)d->n * sizeof *d->y};
        t[n++] = (lt_tensor){.name = names[s][2],
                             .dtype = LT_I64,
                             .n_dims = 1,
                             .dim = {d->n},
                             .data = (void *)d->id,
                             .n_bytes = (size_t)d->n * sizeof *d->id};
    }
    return lt_npz_write(path, t, n);
}

// A class name as a directory name: separators and leading dots would lead elsewhere.
static char *directory_name(const char *class_name)
{
    char *name = cli_format("%s", *class_name ? class_name : "_");
    for (char *p = name; *p; p++)
        if (*p == '/' || (p == name && *p == '.'))
            *p = '_';
    return name;
}

static lt_status export_png_split(const lt_dataset *ds, int split, const char *dir)
{
    const lt_split_data *d = &ds->split[split];
    size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    lt_status status = LT_OK;
    for (int k = 0; k < ds->n_classes && status == LT_OK; k++) {
        char *name = directory_name(ds->class_names[k]);
        char *folder = cli_format("%s/%s/%s", dir, split == LT_TRAIN ? "train" : "test", name);
        status = lt_make_dirs(folder);
        for (int64_t i = 0; i < d->n && status == LT_OK; i++)
            if (d->y[i] == k) {
                char *path = cli_format("%s/%06lld.png", folder, (long long)d->id[i]);
                status = lt_png_write(path, ds->c, ds->h, ds->w, d->x + (size_t)i * image);
                free(path);
            }
        free(folder);
        free(name);
    }
    return status;
}

static lt_status run_export(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    if (!o->out || !*o->out)
        return LT_FAIL(LT_E_USAGE, "data export: --out is missing");
    LT_TRY(open_named(call, &ds));
    if (o->format == FORMAT_NPZ)
        LT_TRY(export_npz(ds, o->out));
    else if (o->format == FORMAT_CIFAR)
        LT_TRY(lt_dataset_export_cifar(ds, o->out));
    for (int s = 0; s < 2 && o->format == FORMAT_PNG; s++)
        LT_TRY(export_png_split(ds, s, o->out));
    call->result = json_object();
    cli_put_text(call->result, "data", ds->spec);
    cli_put_text(call->result, "out", o->out);
    cli_put(call->result, "n_train", json_integer(ds->split[LT_TRAIN].n));
    cli_put(call->result, "n_test", json_integer(ds->split[LT_TEST].n));
    return LT_OK;
}

static void print_export(const json_t *r, FILE *out)
{
    fprintf(out, "%s: %.0f training and %.0f test images of %s\n", cli_text(r, "out"), cli_real(r, "n_train"),
            cli_real(r, "n_test"), cli_text(r, "data"));
}

// ---- get

static lt_status run_get(cli_call *call)
{
    const struct opts *o = call->opts;
    char dir[4096];
    if (call->n_positional != 2) {
        const lt_status status = LT_FAIL(LT_E_USAGE, "data get: expected the name of one data set");
        lt_error_hint("%s can be downloaded", lt_downloadable());
        return status;
    }
    if (o->out && *o->out)
        snprintf(dir, sizeof dir, "%s", o->out);
    else
        LT_TRY(cli_data_dir(dir));
    cli_session *s = call->session;
    lt_download got;
    cli_catch_signals(s);
    cli_progress_stage(s->progress, "%s", call->positional[1]);
    LT_TRY(lt_download_dataset(
        &(lt_download_spec){
            .name = call->positional[1], .dir = dir, .url = o->url, .events = s->events, .stop = &s->stop},
        &got));
    call->result = json_object();
    cli_put_text(call->result, "name", call->positional[1]);
    cli_put_text(call->result, "dir", got.dir);
    cli_put(call->result, "cached", json_boolean(got.cached));
    return LT_OK;
}

static void print_get(const json_t *r, FILE *out)
{
    fprintf(out, "%s: %s\nuse it with --data %s:%s\n", cli_text(r, "name"),
            json_is_true(json_object_get(r, "cached")) ? "was here already, digests checked"
                                                       : "downloaded, digests checked",
            cli_text(r, "name"), cli_text(r, "dir"));
}

// ---- the verb

static const cli_action actions[] = {
    {"list", run_list, print_list},
    {"info", run_info, print_info},
    {"verify", run_verify, print_verify},
    {"export", run_export, print_export},
    {"get", run_get, print_get},
    {"duplicates", run_duplicates, print_duplicates},
    {NULL, NULL, NULL},
};

static lt_status run(cli_call *call)
{
    return cli_action_run(call, actions, "data info synthetic");
}

static void print(const cli_call *call, FILE *out)
{
    cli_action_print(call, actions, out);
}

const cli_verb cli_verb_data = {
    .name = "data",
    .usage = "list [DATA] | info DATA | verify DATA | duplicates DATA --forget SET | export DATA --out PATH | get NAME",
    .about =
        "list    the kinds of data sets and their keys; of a set: index, class, file and digest of every training "
        "sample\n"
        "info    counts per class, size, mean and deviation, digest\n"
        "verify  reads everything, compares the digest, counts images that training and test split share\n"
        "duplicates  training images that show what a forgotten image shows: copies, saved again, moved or mirrored;\n"
        "        its lines are a forget list\n"
        "export  writes a set as .npz, PNG folders or CIFAR batches\n"
        "get     downloads an official set and checks its digest",
    .examples = "  lethe data info synthetic,train-limit=5000\n"
                "  lethe data list folder:photos | grep ann >forget.csv\n"
                "  lethe data get cifar10\n"
                "  lethe data export cifar10:/data/cifar-10-batches-bin,test-limit=100 --format png --out pictures\n",
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
