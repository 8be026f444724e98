// cmd_doctor.c - `lethe doctor`: what this machine and this build can do, and what is missing.
#include "cli.h"

static const cli_group groups[] = {{NULL, NULL, NULL, 0, 0}};

static lt_status run(cli_call *call)
{
    lt_doctor found;
    LT_TRY(cli_positional(call, NULL, 0, 0));
    lt_status status = lt_doctor_examine(&found);
    if (status == LT_OK)
        status = cli_json_take(lt_doctor_json(&found), &call->result);
    lt_doctor_clear(&found);
    return status;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result, *one;
    const char *key;
    json_t *value;
    size_t i;
    fprintf(out, "lethe      %s\n", cli_text(r, "lethe"));
    fprintf(out, "machine    %s, %.0f of %.0f cores usable, %.1f of %.1f GiB memory free\n", cli_text(r, "machine.cpu"),
            cli_real(r, "machine.cores_usable"), cli_real(r, "machine.cores"),
            cli_real(r, "machine.memory_available_gib"), cli_real(r, "machine.memory_gib"));
    fprintf(out, "           %s\n", cli_text(r, "machine.isa"));
    json_array_foreach(json_object_get(r, "backends"), i, one)
        fprintf(out, "backend    %-8s %s%s\n", cli_text(one, "name"),
                json_is_true(json_object_get(one, "works")) ? "" : "does not work: ", cli_text(one, "version"));
    json_array_foreach(json_object_get(r, "optional"), i, one)
        fprintf(out, "optional   %-8s %s: %s\n", cli_text(one, "name"),
                json_is_true(json_object_get(one, "present")) ? "present" : "absent", cli_text(one, "note"));
    fputs("libraries ", out);
    json_object_foreach(json_object_get(r, "libraries"), key, value)
        fprintf(out, " %s %s", key, json_string_value(value));
    bool data = json_is_true(json_object_get(json_object_get(r, "data"), "ok"));
    fprintf(out, "\ndata       %s%s", cli_text(r, "data.path"),
            data ? ":" : ": does not exist; `lethe data get cifar10` makes it, or set LETHE_DATA");
    json_array_foreach(json_object_get(json_object_get(r, "data"), "entries"), i, one)
        fprintf(out, " %s", json_string_value(one));
    fprintf(out, "\ncache      %s: %s\n", cli_text(r, "cache.path"),
            json_is_true(json_object_get(json_object_get(r, "cache"), "ok"))
                ? "writable"
                : "not writable; set LETHE_HOME to a directory that is");
}

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .usage = "",
    .about = "Shows the CPU, the compute backends and libraries of this build, optional parts that are present or "
             "absent, data sets\n"
             "found, and whether the cache can be written.",
    .examples = "  lethe doctor\n",
    .groups = groups,
    .run = run,
    .print = print,
};
