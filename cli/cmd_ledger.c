// cmd_ledger.c - `lethe ledger`: records of what was trained, unlearned and audited.
//
// The library does the work (ledger.h); here are the names: which file, which keys, what is said.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *ledger, *request, *key, *public_key, *sample_key, *head, *out;
    bool files, replay, force;
};
static const lt_option own[] = {
    LT_STR(struct opts, ledger, NULL, "ledger file; default: $LETHE_HOME/lethe.db, else lethe.db here or in runs/"),
    LT_STR(struct opts, request, NULL, "list, export: the deletion request; record: what to call it"),
    LT_STR(struct opts, key, NULL,
           "sign, keygen: file of the secret key; default: signing.key in $LETHE_HOME/keys or ~/.config/lethe"),
    LT_STR(struct opts, public_key, NULL, "verify: file of the key that signatures must be made with"),
    LT_STR(struct opts, sample_key, NULL,
           "record, verify: key file of sample digests; default: sample.key in $LETHE_HOME/keys or ~/.config/lethe"),
    LT_STR(struct opts, head, NULL, "verify: digest of a record that the ledger must have, noted earlier"),
    LT_BOOL(struct opts, files, 1, "verify: compare the files of runs and the sample digests, too"),
    LT_BOOL(struct opts, replay, 0, "verify: repeat training and unlearning, and compare the models"),
    LT_STR(struct opts, out, NULL, "export: .html, a page for people, or .json; default: JSON on standard output"),
    LT_BOOL(struct opts, force, 0, "export: replace an existing file"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Ledger", own, 0, LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

static bool is_given(const char *text)
{
    return text && *text;
}

static lt_status open_ledger(const cli_call *call, lt_ledger_access access, lt_ledger **ledger)
{
    const struct opts *o = call->opts;
    return lt_ledger_open_named(o->ledger, NULL, access, ledger);
}

static lt_status need_arguments(const cli_call *call, int min, int max, const char *what)
{
    const int n = call->n_positional - 1;
    if (n >= min && n <= max)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "ledger %s: expected %s, found %d argument%s", call->positional[0], what, n,
                   n == 1 ? "" : "s");
}

static lt_status parse_id(const char *text, int64_t *id)
{
    char *end;
    *id = strtoll(text, &end, 10);
    if (*end || end == text || *id < 1)
        return LT_FAIL(LT_E_USAGE, "ledger: expected the number of a record, found '%s'", text);
    return LT_OK;
}

static lt_status take_result(cli_call *call, char *json)
{
    lt_status status = cli_set_result(call, json, "ledger");
    free(json);
    return status;
}

// ---- list and show

static lt_status run_list(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_ledger *ledger;
    char *json;
    LT_TRY(need_arguments(call, 0, 0, "no argument"));
    LT_TRY(open_ledger(call, LT_LEDGER_READ, &ledger));
    lt_status status = lt_ledger_list_json(ledger, is_given(o->request) ? o->request : NULL, &json);
    lt_ledger_close(ledger);
    return status == LT_OK ? take_result(call, json) : status;
}

static void print_list(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 7, .left = {false, true, true, true, true, true, true}, .drop = {0, 0, 0, 1, 3, 0, 2}};
    size_t i;
    const json_t *row;
    cli_table_row(&t, "no.", "time", "what", "request", "method", "model", "run");
    json_array_foreach(json_object_get(r, "records"), i, row)
    {
        char id[24], model[13];
        const char *run = cli_text(row, "run"), *base = strrchr(run, '/');
        const char *what = *cli_text(row, "verdict") ? cli_text(row, "verdict") : "";
        char *kind = cli_format("%s%s%s", cli_text(row, "kind"), *what ? ": " : "", what);
        snprintf(id, sizeof id, "%.0f", cli_real(row, "id"));
        snprintf(model, sizeof model, "%.12s", cli_text(row, "model"));
        cli_table_row(&t, id, cli_text(row, "time"), kind, cli_text(row, "request"), cli_text(row, "method"), model,
                      base ? base + 1 : run);
        free(kind);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    fprintf(out, "%.0f records in %s\n", cli_real(r, "n_records"), cli_text(r, "file"));
}

static lt_status run_show(cli_call *call)
{
    lt_ledger *ledger;
    int64_t id;
    char *json;
    LT_TRY(need_arguments(call, 1, 1, "the number of a record"));
    LT_TRY(parse_id(call->positional[1], &id));
    LT_TRY(open_ledger(call, LT_LEDGER_READ, &ledger));
    lt_status status = lt_ledger_record_json(ledger, id, &json);
    lt_ledger_close(ledger);
    return status == LT_OK ? take_result(call, json) : status;
}

static void print_json(const json_t *r, FILE *out)
{
    char *text = cli_json_text(r);
    fputs(text, out);
    free(text);
}

// ---- record

static lt_status run_record(cli_call *call)
{
    const struct opts *o = call->opts;
    char key[LT_DIR_MAX], *json;
    LT_TRY(need_arguments(call, 1, 1 << 20, "the directories of finished runs"));
    LT_TRY(lt_key_path(o->sample_key, "sample.key", key));
    const lt_ledger_source source = {.request = o->request, .sample_key = key};
    LT_TRY(lt_ledger_record_runs(o->ledger, call->positional + 1, call->n_positional - 1, &source, &json));
    return take_result(call, json);
}

static void print_record(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(r, "recorded"), i, one)
        fprintf(out, "%s: %s record %.0f of %s\n", cli_text(one, "run"),
                json_is_true(json_object_get(one, "known")) ? "was recorded before as" : "recorded as",
                cli_real(one, "record"), cli_text(one, "file"));
}

// ---- keys and signatures

static lt_status run_keygen(cli_call *call)
{
    const struct opts *o = call->opts;
    char path[LT_DIR_MAX], *json;
    LT_TRY(need_arguments(call, 0, 0, "no argument"));
    LT_TRY(lt_key_path(o->key, "signing.key", path));
    LT_TRY(lt_ledger_keygen_json(path, &json));
    return take_result(call, json);
}

static void print_keygen(const json_t *r, FILE *out)
{
    fprintf(out, "secret key:  %s (keep it; only you can read it)\npublic key:  %s (give it to those who verify)\n",
            cli_text(r, "key"), cli_text(r, "public_key"));
    fprintf(out, "fingerprint: %s\n", cli_text(r, "fingerprint"));
}

static lt_status run_sign(cli_call *call)
{
    const struct opts *o = call->opts;
    char path[LT_DIR_MAX], *json;
    lt_ledger *ledger;
    LT_TRY(need_arguments(call, 0, 0, "no argument"));
    LT_TRY(lt_key_path(o->key, "signing.key", path));
    LT_TRY(open_ledger(call, LT_LEDGER_APPEND, &ledger));
    lt_status status = lt_ledger_sign_json(ledger, path, &json);
    lt_ledger_close(ledger);
    return status == LT_OK ? take_result(call, json) : status;
}

static void print_sign(const json_t *r, FILE *out)
{
    fprintf(out, "signed records 1 to %.0f of %s with the key %s\n", cli_real(r, "signed_up_to"), cli_text(r, "file"),
            cli_text(r, "fingerprint"));
    fprintf(out, "digest: %s (noted elsewhere, it shows later that no records were cut off: verify --head)\n",
            cli_text(r, "signed_digest"));
}

// ---- verify

static lt_status verify_receipt(cli_call *call, const char *path)
{
    enum { MAX_BYTES = 1 << 28 };
    const struct opts *o = call->opts;
    char *text, *json;
    size_t n;
    LT_TRY(lt_read_file(path, MAX_BYTES, &text, &n));
    lt_status status = lt_receipt_verify(text, n, path, is_given(o->public_key) ? o->public_key : NULL, &json);
    free(text);
    return status == LT_OK ? take_result(call, json) : status;
}

static lt_status verify_ledger(cli_call *call)
{
    const struct opts *o = call->opts;
    const lt_env env = {.events = call->session->events, .stop = &call->session->stop};
    char key[4096], *json;
    lt_ledger *ledger;
    LT_TRY(lt_key_path(o->sample_key, "sample.key", key));
    LT_TRY(open_ledger(call, LT_LEDGER_READ, &ledger));
    const lt_ledger_verify_spec spec = {.public_key = is_given(o->public_key) ? o->public_key : NULL,
                                        .head = is_given(o->head) ? o->head : NULL,
                                        .sample_key = key,
                                        .files = o->files,
                                        .replay = o->replay,
                                        .env = &env};
    cli_progress_stage(call->session->progress, "verifying");
    lt_status status = lt_ledger_verify(ledger, &spec, &json);
    cli_progress_clear(call->session->progress);
    lt_ledger_close(ledger);
    return status == LT_OK ? take_result(call, json) : status;
}

static lt_status run_verify(cli_call *call)
{
    struct opts *o = call->opts;
    LT_TRY(need_arguments(call, 0, 1, "at most a receipt or a ledger"));
    if (call->n_positional > 1 && lt_is_receipt(call->positional[1]))
        return verify_receipt(call, call->positional[1]);
    if (call->n_positional > 1)
        LT_TRY(lt_optset_set(call->set, "ledger", call->positional[1], "flag"));
    if (o->replay)
        cli_catch_signals(call->session);
    return verify_ledger(call);
}

static void print_verify(const json_t *r, FILE *out)
{
    size_t i;
    const json_t *text;
    const bool whole = json_object_get(r, "head") != NULL;
    fprintf(out, "%s: %.0f record%s in order, digests as recorded\n", whole ? cli_text(r, "file") : "receipt",
            cli_real(r, "n_records"), cli_real(r, "n_records") == 1 ? "" : "s");
    if (*cli_text(r, "signed_by"))
        fprintf(out, "signed up to record %.0f with the key %s%s\n", cli_real(r, "signed_up_to"),
                cli_text(r, "signed_by"), json_is_true(json_object_get(r, "trusted")) ? ", the one you named" : "");
    if (whole)
        fprintf(out,
                "%.0f files and %.0f sample digests are those of the records; %.0f runs repeated with the same model\n",
                cli_real(r, "files_checked"), cli_real(r, "samples_checked"), cli_real(r, "replayed"));
    json_array_foreach(json_object_get(r, "not_checked"), i, text)
        fprintf(out, "not checked: %s\n", json_string_value(text));
}

// ---- export

static lt_status run_export(cli_call *call)
{
    const struct opts *o = call->opts;
    lt_receipt_spec spec = {.request = is_given(o->request) ? o->request : NULL};
    lt_ledger *ledger;
    char *text;
    LT_TRY(need_arguments(call, 0, 1, "at most the number of a record"));
    if (call->n_positional > 1)
        LT_TRY(parse_id(call->positional[1], &spec.id));
    if (spec.id && spec.request)
        return LT_FAIL(LT_E_USAGE, "ledger export: expected the number of a record or --request, found both");
    if (is_given(o->out))
        LT_TRY(lt_receipt_format_of(o->out, &spec.format));
    LT_TRY(open_ledger(call, LT_LEDGER_READ, &ledger));
    lt_status status = lt_ledger_export(ledger, &spec, &text);
    lt_ledger_close(ledger);
    LT_TRY(status);
    if (!is_given(o->out))
        return take_result(call, text);
    char *json = NULL;
    status = lt_receipt_write(o->out, text, o->force, &json);
    free(text);
    return status == LT_OK ? take_result(call, json) : status;
}

static void print_export(const json_t *r, FILE *out)
{
    fprintf(out, "%s\n", cli_text(r, "written"));
}

// ---- the verb

static const cli_action actions[] = {
    {"list", run_list, print_list},       {"show", run_show, print_json},
    {"verify", run_verify, print_verify}, {"sign", run_sign, print_sign},
    {"export", run_export, print_export}, {"record", run_record, print_record},
    {"keygen", run_keygen, print_keygen}, {NULL, NULL, NULL},
};

static lt_status run(cli_call *call)
{
    return cli_action_run(call, actions, "ledger list");
}

static void print(const cli_call *call, FILE *out)
{
    const bool text = call->json && (!strcmp(call->positional[0], "show") ||
                                     (!strcmp(call->positional[0], "export") && !*cli_text(call->result, "written")));
    if (text) // as the library wrote it: a receipt is checked byte by byte
        fputs(call->json, out);
    else
        cli_action_print(call, actions, out);
}

const cli_verb cli_verb_ledger = {
    .name = "ledger",
    .usage = "list | show N | verify [RECEIPT] | sign | export [N] [--out FILE] | record RUN... | keygen   [options]",
    .about = "Records of what was trained, unlearned and audited, in one file that only grows. Every record has the "
             "digest of the\n"
             "one before, so a change of any byte is found and named; a signature says whose the records are.\n"
             "list     the records; with --request those of one deletion request\n"
             "show     one record: run, models, method, options, versions, seeds, metrics, and what is not proven\n"
             "verify   recomputes every digest: records, bytes of the file, files of runs, sample digests, "
             "signatures; with\n"
             "         --replay it repeats the runs that can be repeated. A receipt (JSON or page) is verified by "
             "itself. Exit code 4 "
             "and the\n"
             "         first record and field that is wrong\n"
             "sign     signs all records so far (Ed25519)\n"
             "export   a receipt of one record with the audits of its model: a page for people, or JSON; without N the "
             "whole ledger\n"
             "record   adds runs that were not recorded when they finished\n"
             "keygen   makes a pair of keys for sign and verify",
    .examples =
        "  lethe unlearn runs/base --method amun --forget file:request.txt --request-id 2031-17 --out runs/amun\n"
        "  lethe ledger list\n"
        "  lethe ledger keygen\n"
        "  lethe ledger sign\n"
        "  lethe ledger export --request 2031-17 --out receipt.html\n"
        "  lethe ledger verify receipt.html --public-key signing.key.pub\n"
        "  lethe ledger verify --replay\n",
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
