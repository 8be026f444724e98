// cli.h - what the verbs of the `lethe` command share.
//
// A verb is one const descriptor: texts, option tables, and a run function that fills a JSON object. The same object is
// printed with --json and turned into the human table, so the two cannot disagree.
#ifndef LETHE_CLI_H
#define LETHE_CLI_H
#include "lethe/lethe.h"
#include <jansson.h>
#include <stdio.h>

// ---- options that several verbs have
typedef struct cli_common {
    bool json, quiet, verbose, show_config;
    const char *config, *set; // rows for the help; handled by lt_optset_parse
} cli_common;
typedef struct cli_seed {
    uint64_t seed;
} cli_seed;
typedef struct cli_run_dir_options {
    const char *out;
    bool force;
} cli_run_dir_options;
typedef struct cli_resume {
    const char *resume;
} cli_resume;
typedef struct cli_workers {
    const char *executor;
    int32_t workers;
    bool join;
} cli_workers;
typedef struct cli_ledger {
    bool record;
    const char *ledger, *request_id, *sample_key;
} cli_ledger;
enum {               // cli_verb.uses
    CLI_COMPUTE = 1, // threads, loader-threads, device, backend
    CLI_SEED = 2,
    CLI_PLACE = 4,     // out, force: the verb makes a directory of results
    CLI_RESUME = 8,    // resume: which is one run
    CLI_RECORD = 16,   // record, ledger, request-id, sample-key: what is done goes into the ledger
    CLI_WORKERS = 32,  // executor, workers, join: several processes may share the work
    CLI_OWN_SEED = 64, // a table of its own has --seed
};

typedef struct cli_group { // an option table of one verb; an array of them ends with table NULL
    const char *prefix, *title;
    const lt_option *table;
    size_t offset;  // of its config struct in the verb's options
    unsigned flags; // LT_OPTGROUP_*
} cli_group;

typedef struct cli_session cli_session;
typedef struct cli_call cli_call;
typedef struct cli_verb {
    const char *name;
    const char *usage;    // after "lethe NAME "
    const char *about;    // paragraphs
    const char *examples; // lines "command  # why"
    unsigned uses;
    size_t opts_size;
    const cli_group *groups;
    lt_status (*prepare)(cli_call *call);               // binds groups that depend on the arguments; may be NULL
    void (*more_help)(const cli_call *call, FILE *out); // lists after the options; may be NULL
    lt_status (*resolve)(cli_call *call);               // options that follow from others; may be NULL
    lt_status (*run)(cli_call *call);                   // fills call->result
    lt_status (*check)(const cli_call *call);           // judged after the result is printed; may be NULL
    void (*print)(const cli_call *call, FILE *out);     // human form of call->result
    void (*release)(cli_call *call);                    // what run left in call->opts; may be NULL
} cli_verb;

struct cli_call { // one parsed invocation
    cli_session *session;
    const cli_verb *verb;
    int argc;
    char *const *argv;
    lt_optset *set;
    void *opts; // verb->opts_size bytes
    cli_common common;
    lt_threads threads;
    lt_compute compute;
    cli_seed seed;
    cli_run_dir_options run_dir;
    cli_resume resume;
    cli_ledger ledger;
    cli_workers workers;
    const char **positional; // argc entries
    int n_positional;
    const void *extra; // prepare's own (a registry row)
    void *extra_cfg;   // and its config struct; freed
    json_t *result;
    char *json;    // the text of the result, where the library wrote it; NULL = made from `result`
    lt_error late; // an error that is reported after the result; status LT_OK = none
};

struct cli_session { // one process
    lt_events *events;
    struct cli_progress *progress;
    lt_interrupt_flag stop;
    lt_comm *comm;       // of data-parallel training; NULL = alone. Other ranks than 0 print errors only
    lt_backend *backend; // made on first use, kept: compiled plans and timings are dear
    char backend_key[256];
    lt_dataset *data; // the last one opened
    char *data_spec;
};

// ---- main.c, call.c
typedef struct cli_row {
    const char *name, *line;
    const cli_verb *verb;
} cli_row;
extern const cli_row cli_rows[];                                // ends with name NULL
lt_status cli_find_verb(const char *name, const cli_row **row); // LT_E_USAGE with the nearest name
lt_status cli_call_begin(cli_session *s, const cli_verb *verb, int argc, char *const *argv, cli_call *call); // binds
lt_status cli_call_parse(cli_call *call);
void cli_call_end(cli_call *call);
lt_status cli_positional(cli_call *call, const char *key, int min, int max); // at most one goes to option `key`
// Verbs that are several: the first argument names the action.
typedef struct cli_action {
    const char *name; // NULL ends a list
    lt_status (*run)(cli_call *call);
    void (*print)(const json_t *r, FILE *out);
} cli_action;
lt_status cli_action_run(cli_call *call, const cli_action *actions, const char *example);
void cli_action_print(const cli_call *call, const cli_action *actions, FILE *out);
lt_status cli_add_options(cli_call *call, const char *prefix, const lt_option *table, void *cfg, unsigned flags);

// ---- help.c, docs.c
void cli_print_usage(FILE *out);
void cli_print_wrapped(const char *text, FILE *out);
// presets: a set of the same keys, whose presets are shown as defaults; NULL = those of the table.
lt_status cli_print_options(FILE *out, const char *title, const char *prefix, const lt_option *table, void *cfg,
                            const lt_optset *presets);
// The options of one entry of a registry, --PREFIX.NAME, with their defaults; cfg: its struct.
void cli_print_entry_options(FILE *out, const char *prefix, const lt_option *table, void *cfg);
lt_status cli_print_help(cli_call *call, FILE *out);
lt_status cli_dump_docs(cli_session *s, const char *form, const char *key,
                        FILE *out);                     // markdown, man, options, a shell
bool cli_dump_completion(const char *shell, FILE *out); // bash, zsh, fish; false for others
lt_status cli_docs_methods(FILE *out);                  // the sections of unlearning methods, in Markdown
lt_status cli_docs_options(const char *key, FILE *out); // "unlearn.ft", "rmia": the table of one entry
typedef struct cli_shared_group {
    const char *title;
    const lt_option *table;
    unsigned use;    // verbs with one of these flags; 0 = every verb
    unsigned unless; // but none with one of these
    unsigned flags;
    size_t offset; // in cli_call
} cli_shared_group;
bool cli_has_shared(const cli_verb *verb, const cli_shared_group *g);
extern const cli_shared_group cli_shared_groups[]; // ends with table NULL

// ---- env.c: what runs need
void cli_limit_threads(cli_call *call);             // --threads to the usable cores, with a warning
void cli_warn_unknown_variables(cli_session *s);    // LETHE_* that no verb, method or attack has
int cli_threads(const cli_call *call);              // --threads, or every usable core
const char *cli_backend_name(const cli_call *call); // of lt_backend_create: --device, or --backend on the CPU
lt_status cli_open_backend(cli_call *call);         // into the session, unless it is there
lt_status cli_env(cli_call *call, lt_env *env);
lt_status cli_dataset(cli_call *call, const char *spec, const lt_dataset **ds); // borrowed from the session
void cli_catch_signals(cli_session *s); // the first SIGINT or SIGTERM raises s->stop, the second kills
void cli_session_close(cli_session *s);
void cli_use_data_dir(void); // makes that directory $LETHE_DATA when it is there and none is set

// ---- progress.c
struct cli_progress *cli_progress_create(lt_events *events);
void cli_progress_destroy(struct cli_progress *p);
void cli_progress_config(struct cli_progress *p, bool quiet, bool verbose);
void cli_progress_stage(struct cli_progress *p, const char *fmt, ...) LT_PRINTF(2, 3); // names what follows
void cli_progress_clear(struct cli_progress *p);                                       // erases the bar
// What follows is the part of a longer job between these shares of its work, 0 to 1: remaining times are then of the
// whole job.
void cli_progress_part(struct cli_progress *p, double from, double to);
void cli_say(cli_session *s, const char *fmt, ...) LT_PRINTF(2, 3); // a line on stderr unless --quiet
bool cli_color(FILE *f);                                            // a terminal, NO_COLOR unset

// ---- text.c: JSON and tables
void cli_put(json_t *object, const char *key, json_t *value);         // takes the reference
void cli_put_text(json_t *object, const char *key, const char *text); // bytes that are no UTF-8 become U+FFFD
void cli_put_real(json_t *object, const char *key, double value);     // null when not finite
double cli_real(const json_t *object, const char *path);              // "a.b"; NaN when absent
const char *cli_text(const json_t *object, const char *path);         // "" when absent
char *cli_json_text(const json_t *object);                            // malloc'ed, ends with a newline
lt_status cli_json_load(const char *path, json_t **out);
lt_status cli_json_parse(const char *text, const char *label, json_t **out);
bool cli_json_has(const json_t *array, const json_t *item); // an equal one
lt_status cli_json_take(char *text, json_t **out);          // of a result that the library wrote as JSON; frees text
lt_status cli_set_result(cli_call *call, const char *json, const char *label); // what a call of the library wrote
enum { CLI_TABLE_MAX_COLUMNS = 12 };
typedef struct cli_table {
    int n_columns, n_rows;
    bool left[CLI_TABLE_MAX_COLUMNS]; // alignment
    int drop[CLI_TABLE_MAX_COLUMNS];  // where the table is too wide, columns with the largest go first; 0 = stays
    char **cell;                      // n_rows x n_columns
} cli_table;
void cli_keep_printable(char *text);   // control characters, with which a terminal could be taken over, become '?'
void cli_table_row(cli_table *t, ...); // n_columns strings, copied; the first row is the head
void cli_table_cells(cli_table *t, const char *const *cells); // the same, of n_columns strings
void cli_table_print(const cli_table *t, FILE *out);
void cli_table_clear(cli_table *t);
char *cli_format(const char *fmt, ...) LT_PRINTF(1, 2); // malloc'ed; aborts when out of memory
void *cli_alloc(size_t n, size_t size);                 // zeroed; aborts when out of memory
const char *cli_percent(double fraction, char buf[24]); // "93.4" or "-"

// ---- lists.c
typedef struct cli_list {
    int n;
    char **item; // ends with NULL when n > 0
} cli_list;
void cli_list_push(cli_list *list, const char *text, size_t n);
void cli_list_add(cli_list *list, const char *text);                          // splits at commas
void cli_list_option(cli_list *list, const cli_call *call, const char *name); // every --name, else the option's value
void cli_list_clear(cli_list *list);

// ---- models.c: data of trained models, as the session has it open
// The group of options of a verb that takes model files: `field` of its struct is a lt_model_fallback.
#define CLI_MODEL_FILE_GROUP(T, field)                                                                                 \
    {                                                                                                                  \
        "", "Model files without metadata", lt_model_fallback_options, offsetof(T, field), LT_OPTGROUP_FLAGS           \
    }
// The data set: `given`, or the one named in the model's metadata; the digest must match it.
lt_status cli_model_data(cli_call *call, const lt_trained_model *m, const char *given, const lt_dataset **ds);
// The same for verbs that may ask about other data than that of the training.
lt_status cli_model_other_data(cli_call *call, const lt_trained_model *m, const char *given, const lt_dataset **ds);

enum { CLI_EVAL_BATCH = 128 }; // samples

// ---- record.c, and what an interruption leaves
// How to go on after an interruption. action: of verbs that have several, such as "train"; "" for the others.
void cli_hint_resume(const cli_call *call, lt_status status, const char *action, const char *dir);
lt_status cli_record_check(cli_call *call); // before the work: a ledger that was named must serve
void cli_record(cli_call *call);            // a failure is a warning: the run is there, and can be recorded later

// ---- workers.c: scripts that start workers, processes that share one job
lt_status cli_worker_script(cli_call *call, const lt_worker_order *order); // call->result: script, executor, workers
// For verbs with CLI_WORKERS. *written: --executor asks for a script of the command that `words` (ends with NULL)
// begin, with the options of this call, and it has been written.
lt_status cli_workers_begin(cli_call *call, const char *const *words, const char *stem, bool *written);
extern const lt_option cli_worker_options[];

// ---- population.c
void cli_print_population(const json_t *result, FILE *out);

// ---- machine.c
void cli_limit_omp_spinning(char **argv);
double cli_now_s(void);

#endif
