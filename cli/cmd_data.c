// cmd_data.c - `lethe data`: what kinds of data there are, what is in a set, whether it is sound; writing and download.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum { FORMAT_AUTO = -1 };
static const lt_opt_value formats[] = {
    {"auto", FORMAT_AUTO, "export: npz; convert: what --out ends in, .npz, .safetensors or .tar, else png"},
    {"npz", LT_DATASET_NPZ, "one file: train_x, train_y, test_x, test_y and official ids"},
    {"safetensors", LT_DATASET_SAFETENSORS, "the same with class and file names, mapped when it is read"},
    {"png", LT_DATASET_PNG, "train/CLASS/ID.png and test/CLASS/ID.png"},
    {"cifar", LT_DATASET_CIFAR, "the binary batches of CIFAR-10 (3x32x32 only)"},
    {"tar", LT_DATASET_TAR, "what pack writes: WebDataset shards of PNG files, in a folder or as one .tar"},
    {NULL, 0, NULL},
};
struct opts {
    const char *out, *digest, *url, *forget;
    float similarity;
    int32_t format;
    int64_t shard_size;
};
static const lt_option own[] = {
    LT_STR(struct opts, out, NULL,
           "export, convert, pack: file or directory to write; get: directory to download into"),
    LT_ENUM(struct opts, format, FORMAT_AUTO, formats, "export, convert: layout"),
    LT_I64(struct opts, shard_size, LT_SHARD_SIZE, 1, 1e9, "", "pack: images in one archive of a folder"),
    LT_STR(struct opts, forget, NULL, "duplicates: samples whose copies are searched for, as in unlearn --forget"),
    LT_F32(struct opts, similarity, LT_NEAR_DUPLICATE_LEAST, 0.5, 1, "", "duplicates: least similarity"),
    LT_STR(struct opts, digest, NULL, "verify: digest the set must have"),
    LT_STR(struct opts, url, NULL,
           "get: download from this folder (https:, http: or file:) instead of the official one"),
    LT_OPT_END,
};
static const cli_group groups[] = {{"", "Input and output", own, 0, LT_OPTGROUP_FLAGS}, {NULL, NULL, NULL, 0, 0}};

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

static lt_status run_list(cli_call *call)
{
    const lt_dataset *ds;
    if (call->n_positional > 2)
        return LT_FAIL(LT_E_USAGE, "data list: expected at most one data set, found '%s'", call->positional[2]);
    if (call->n_positional == 1)
        return cli_json_take(lt_dataset_kinds_json(), &call->result);
    LT_TRY(cli_dataset(call, call->positional[1], &ds));
    return cli_json_take(lt_dataset_samples_json(ds), &call->result);
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

static lt_status run_duplicates(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    char *json;
    LT_TRY(open_named(call, &ds));
    if (!o->forget || !*o->forget)
        return LT_FAIL(LT_E_USAGE, "data duplicates: --forget is missing");
    LT_TRY(lt_dataset_duplicates_json(ds, o->forget, (double)o->similarity, &json));
    return cli_json_take(json, &call->result);
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

// ---- inspect, verify

// Takes the info.
static lt_status set_info(cli_call *call, lt_dataset_info *info)
{
    const lt_status status = cli_json_take(lt_dataset_info_json(info), &call->result);
    lt_dataset_info_clear(info);
    return status;
}

static lt_status run_inspect(cli_call *call)
{
    const lt_dataset *ds;
    lt_dataset_info info;
    LT_TRY(open_named(call, &ds));
    LT_TRY(lt_dataset_info_measure(ds, &info));
    return set_info(call, &info);
}

static void print_inspect(const json_t *r, FILE *out)
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

static lt_status run_verify(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    lt_dataset_info info;
    LT_TRY(open_named(call, &ds));
    LT_TRY(lt_dataset_verify(ds, o->digest, &info));
    return set_info(call, &info);
}

static void print_verify(const json_t *r, FILE *out)
{
    fprintf(out, "%s is readable and sound: %.0f training and %.0f test images\ndigest %s\n", cli_text(r, "data"),
            cli_real(r, "train.n"), cli_real(r, "test.n"), cli_text(r, "digest"));
    fprintf(out, "%.0f test images are also in the training split, pixel for pixel\n", cli_real(r, "n_shared_images"));
}

// ---- convert, pack, export

static lt_status write_set(cli_call *call, int32_t format)
{
    const struct opts *o = call->opts;
    const lt_dataset *ds;
    cli_session *s = call->session;
    LT_TRY(open_named(call, &ds));
    if (format == LT_DATASET_TAR)
        cli_catch_signals(s);
    LT_TRY(format == LT_DATASET_TAR ? lt_dataset_pack(ds, o->out, o->shard_size, &s->stop)
                                    : lt_dataset_export(ds, (lt_dataset_format)format, o->out));
    return cli_json_take(lt_dataset_export_json(ds, o->out), &call->result);
}

static lt_status need_out(const cli_call *call)
{
    const struct opts *o = call->opts;
    return o->out && *o->out ? LT_OK : LT_FAIL(LT_E_USAGE, "data %s: --out is missing", call->positional[0]);
}

static lt_status run_export(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(need_out(call));
    return write_set(call, o->format == FORMAT_AUTO ? LT_DATASET_NPZ : o->format);
}

static lt_status run_convert(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_dataset_format format = (lt_dataset_format)o->format;
    LT_TRY(need_out(call));
    if (o->format == FORMAT_AUTO)
        LT_TRY(lt_dataset_format_of(o->out, &format));
    return write_set(call, (int32_t)format);
}

static lt_status run_pack(cli_call *call)
{
    const struct opts *o = call->opts;
    LT_TRY(need_out(call));
    if (o->format != FORMAT_AUTO && o->format != LT_DATASET_TAR)
        return LT_FAIL(LT_E_USAGE, "data pack: writes tar, but --format says another format; data convert takes it");
    return write_set(call, LT_DATASET_TAR);
}

static void print_written(const json_t *r, FILE *out)
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
        LT_TRY(lt_data_dir(dir));
    cli_session *s = call->session;
    lt_download got;
    cli_catch_signals(s);
    cli_progress_stage(s->progress, "%s", call->positional[1]);
    LT_TRY(lt_download_dataset(
        &(lt_download_spec){
            .name = call->positional[1], .dir = dir, .url = o->url, .events = s->events, .stop = &s->stop},
        &got));
    return cli_json_take(lt_download_json(call->positional[1], &got), &call->result);
}

static void print_get(const json_t *r, FILE *out)
{
    fprintf(out, "%s: %s\nuse it with --data %s:%s\n", cli_text(r, "name"),
            json_is_true(json_object_get(r, "cached")) ? "already present, digests checked"
                                                       : "downloaded, digests checked",
            cli_text(r, "name"), cli_text(r, "dir"));
}

// ---- the verb

static const cli_action actions[] = {
    {"list", run_list, print_list},
    {"inspect", run_inspect, print_inspect},
    {"verify", run_verify, print_verify},
    {"convert", run_convert, print_written},
    {"pack", run_pack, print_written},
    {"export", run_export, print_written},
    {"get", run_get, print_get},
    {"duplicates", run_duplicates, print_duplicates},
    {NULL, NULL, NULL},
};

static lt_status run(cli_call *call)
{
    if (call->n_positional > 0 && !strcmp(call->positional[0], "info")) // what inspect was called before
        call->positional[0] = "inspect";
    return cli_action_run(call, actions, "data inspect synthetic");
}

static void print(const cli_call *call, FILE *out)
{
    cli_action_print(call, actions, out);
}

const cli_verb cli_verb_data = {
    .name = "data",
    .usage = "list [DATA] | inspect DATA | verify DATA | duplicates DATA --forget SET | convert DATA --out PATH | "
             "pack DATA --out PATH | export DATA --out PATH | get NAME",
    .about =
        "list        the kinds of data sets and their keys; of a set: index, class, file and digest of every\n"
        "            training sample\n"
        "inspect     counts per class, size, mean and standard deviation, digest (older name: info)\n"
        "verify      reads everything, compares the digest, counts images that training and test split share\n"
        "duplicates  training images that show what a forgotten image shows: re-encoded, shifted or mirrored copies;\n"
        "            its lines are a forget list\n"
        "convert     writes a set in the format that the name of --out ends in: .npz, .safetensors, .tar; a folder\n"
        "            gets PNG files\n"
        "pack        writes shards of PNG files that tar:PATH and WebDataset read, in a new folder, or as one file\n"
        "            PATH.tar\n"
        "export      writes a set as .npz, safetensors, PNG folders or CIFAR batches. For sets larger than memory:\n"
        "            safetensors is mapped when it is read, scratch=DIR decodes folder: and tar: into a file of DIR\n"
        "get         downloads an official set and checks its digest",
    .examples = "  lethe data inspect synthetic,train-limit=5000\n"
                "  lethe data list folder:photos | grep ann >forget.csv\n"
                "  lethe data get cifar10\n"
                "  lethe data export cifar10:/data/cifar-10-batches-bin,test-limit=100 --format png --out pictures\n"
                "  lethe data convert cifar10 --out cifar10.npz\n"
                "  lethe data pack cifar10 --out shards --shard-size 5000\n"
                "  lethe data export folder:/data/imagenet,size=224,scratch=. --format safetensors --out "
                "imagenet.safetensors\n",
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
